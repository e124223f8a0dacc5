/// Wires between emulated cards of one process, whose ranks are threads, with faults that a test plants.
#pragma once

#include "base/device.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace troupe::emulation {

enum class wire_fault : uint8_t {
  none,
  call,   ///< the rank's call does not return
  stall,  ///< its work does not end, and nobody is told
  error,  ///< nor does it; the rank's wire says that it has failed
  lost,   ///< the rank is gone: all others' wires say so
};

class wire_meeting;

/// What a wire needs of its rank's card.
struct wire_place {
  std::function<void(std::function<void()>)> enqueue;      ///< puts work into the wire queue
  std::function<void(const std::function<void()>&)> open;  ///< does a part of it with the card's memory at hand
};

/// What the cards of a test are joined by.
class wire_network {
public:
  /// Of wires that are joined from now on: what happens to a rank's operation `number`, counted from 0, and to those
  /// behind it.
  void plant(wire_fault what, int rank, int64_t number);
  /// From now on this rank cannot join.
  void refuse(int rank);

  /// Errors  those of device::join.
  std::unique_ptr<wire> join(const wire_id& id, int rank, int ranks, const std::string& name,
                             std::chrono::milliseconds deadline, wire_place at);

private:
  std::mutex mutex_;
  std::map<wire_id, std::weak_ptr<wire_meeting>> meetings_;
  wire_fault planted_ = wire_fault::none;
  int rank_ = -1, refused_ = -1;
  int64_t number_ = 0;
};

wire_id new_fake_wire_id();

}  // namespace troupe::emulation
