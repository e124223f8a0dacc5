/// Looks at the operations that are on their way by a card's wires, against their deadlines: the host does not wait for
/// them, so that somebody else has to see that they end. Internal.
#pragma once

#include "base/device.hpp"
#include "base/pulse.hpp"

#include <chrono>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace troupe::engine {

struct wire_operation {
  std::string who;  ///< as errors call it
  std::chrono::milliseconds deadline{0};
  std::shared_ptr<wire> by;
  std::shared_ptr<const void> under_way;  ///< dropped when it has ended
  waiting_behind waits;                   ///< this rank is ready, others are not
  // The watch's own:
  mark begins = 0;           ///< this rank's part of it is ready
  std::optional<mark> ends;  ///< in the wire queue; nothing: the call has not returned
  bool awaited = false;      ///< somebody counts on its end, or on that of one behind it
  std::chrono::microseconds waited{0};
};

using wire_operation_ptr = std::shared_ptr<wire_operation>;

/// Of one card. An operation that is ready here and awaited, and has not ended at its deadline, ends the process by
/// its name (end_process.hpp), and so does one whose wire has failed. Time in which the process is suspended does not
/// count.
class wire_watch {
public:
  explicit wire_watch(device& on) : on_(on) {}
  ~wire_watch();
  wire_watch(const wire_watch&) = delete;
  wire_watch& operator=(const wire_watch&) = delete;

  /// It is about to be called. Operations begin and end in one order.
  void begin(const wire_operation_ptr& one, mark begins);
  void called(wire_operation& one, mark ends);
  void await(wire_operation& one);
  /// Its call was refused.
  void drop(const wire_operation_ptr& one);

private:
  void live();
  void look(std::chrono::microseconds since_last);
  [[noreturn]] static void give_up(const wire_operation& on, const std::string& why);

  device& on_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<wire_operation_ptr> under_way_;
  bool stopping_ = false;
  std::thread thread_;  ///< from the first operation on
};

}  // namespace troupe::engine
