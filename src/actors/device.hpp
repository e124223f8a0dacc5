/// What the actors of one rank share: the device's threads, and the sign of life.
#pragma once

#include "actors/pulse.hpp"
#include "kernels/base/context.hpp"

#include <memory>

namespace troupe::actors {

/// One piece of compute at a time: the director's commands see to it that actors take the pool in turn.
struct device {
  explicit device(int threads) : pool(threads) {}

  thread_pool pool;
  context ctx{pool};
  actors::pulse pulse;
};

using device_ptr = std::shared_ptr<device>;

}  // namespace troupe::actors
