/// What is said where a card's memory runs out.
#pragma once

#include "base/device.hpp"

#include <cstdint>
#include <string>

namespace troupe {

/// Options of a job by which it takes less of a card, from those that change no number to those that do: what
/// `troupe plan` tries in turn (jobs/plan_fit.cpp).
inline constexpr const char* options_for_less_card_memory =
    "run.activation-checkpointing = true, a smaller generation.cache-mib, place.policy-zero, reward-zero, critic-zero "
    "and frozen-zero = 3 on several ranks, place.frozen = host, fewer micro-batch-tokens, model.dtype = bf16, "
    "place.optimizer = host";

/// `card`: by card_name. `bytes` more for `holder` are not there; `total`: of the card.
std::string no_card_memory_text(const std::string& card, int64_t bytes, const std::string& holder,
                                const memory_use& held, int64_t total);

}  // namespace troupe
