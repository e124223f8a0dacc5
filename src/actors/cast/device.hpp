/// What the actors of one rank share: where it computes, and their signs of life.
#pragma once

#include "base/context.hpp"
#include "base/device.hpp"
#include "base/pulse.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

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

  /// Passes compute on the card from now on.
  void compute_on(std::unique_ptr<troupe::device> opened) {
    card = std::move(opened);
    ctx.on = card.get();
  }

  /// Computes on what lies at `place`: a card, or host memory (null).
  context& at(const troupe::device* place) { return place != nullptr ? ctx : host; }

  thread_pool pool;
  std::unique_ptr<troupe::device> card;  ///< null: there is none, or it is not to be used
  context ctx{pool};                     ///< of passes: forward, backward, generation
  context host{pool};                    ///< of what stands in host memory: there may be optimizers and averages
  std::array<pulse, roles> pulses;       ///< by role
};

using device_ptr = std::shared_ptr<device>;

}  // namespace troupe::actors
