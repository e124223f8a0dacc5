/// What a rank's card has for exchange with those of other ranks: its wires, the order of what goes by them, memory for
/// what arrives, and the watch over it. Internal.
#pragma once

#include "base/device.hpp"
#include "engine/parallel/arriving_room.hpp"
#include "engine/parallel/wire_watch.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace troupe::engine {

class card_wires {
public:
  card_wires(device& on, std::chrono::milliseconds deadline)
      : on_(on), deadline_(deadline), arriving_(on), watch_(on) {}
  card_wires(const card_wires&) = delete;
  card_wires& operator=(const card_wires&) = delete;

  device& on() const { return on_; }
  std::chrono::milliseconds deadline() const { return deadline_; }  ///< of operations that have none of their own

  /// Calls a wire, so that its work follows what the compute queue was given so far.
  /// Errors  those of wire.
  void call(const wire_operation_ptr& one, const std::function<void(wire&)>& calls);

  /// A message goes with those that follow it until somebody waits for one of them, or something else is called: as
  /// one, so that ranks that send to each other do not wait for each other. `group`: whose it is; between two ranks
  /// those of one group with the same tag keep their order, and the tags go in theirs.
  struct letter {
    wire_operation_ptr what;
    const void* group = nullptr;
    int tag = 0;
    bool sends = false;
    wire::message message;
  };
  void post(letter one);

  /// From now on what the compute queue is given follows the operation's end.
  void await(wire_operation& one);

  /// Memory of the card, for what arrives.
  /// Errors  out_of_memory: then nothing more goes by the wires, since the other ranks have called what this one has
  ///         not, and the next call would meet theirs.
  arriving_room::piece take(int64_t bytes);
  void give_back(const arriving_room::piece& used);
  /// So that pieces of these sizes can be taken at a time without asking the card (arriving_room.hpp).
  /// Errors  out_of_memory: nothing was called, and all can go on.
  void make_room(std::span<const int64_t> bytes);

private:
  void call_now(std::span<const wire_operation_ptr> as_one, const std::function<void(wire&)>& calls);
  void send_letters();

  device& on_;
  std::chrono::milliseconds deadline_;
  std::mutex mutex_;  ///< held over calls: their order is that of the work
  std::vector<letter> letters_;
  std::string broken_;  ///< why nothing goes by the wires any more
  arriving_room arriving_;
  wire_watch watch_;
};

}  // namespace troupe::engine
