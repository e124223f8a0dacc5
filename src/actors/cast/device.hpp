/// What the actors of one rank share: the device's threads, and their signs of life.
#pragma once

#include "base/context.hpp"
#include "base/pulse.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace troupe::actors {

/// The actors of a rank, as a hang names them.
enum class role : uint8_t {
  stage,
  loader,
  policy,
  reference,
  reward,
  critic,
  policy_optimizer,
  reward_optimizer,
  critic_optimizer,
  ema,
  replay,
  checkpointer,  // the last, from which `roles` counts
};
inline constexpr size_t roles = static_cast<size_t>(role::checkpointer) + 1;

/// "reward model optimizer"
const char* to_string(role of);

/// One piece of compute at a time: the director's commands see to it that actors take the pool in turn.
struct device {
  explicit device(int threads) : pool(threads) {}

  pulse& pulse_of(role actor) { return pulses.at(static_cast<size_t>(actor)); }

  thread_pool pool;
  context ctx{pool};
  std::array<pulse, roles> pulses;  ///< by role
};

using device_ptr = std::shared_ptr<device>;

}  // namespace troupe::actors
