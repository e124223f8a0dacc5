/// What directs and watches a run takes these settings from the job. Nothing here needs a model: the director and the
/// supervisor include this header, and so do not see the engine's models.
#pragma once

#include "base/dtype.hpp"
#include "engine/objectives/kl.hpp"
#include "engine/optim/schedule.hpp"
#include "io/job/job.hpp"

#include <chrono>
#include <cstdint>

namespace troupe::actors {

/// Of the weights that models compute with.
dtype weight_type_of(const io::model_section& model);
/// Of activations, keys and values: float32 on the host, the type of the weights on a card.
dtype computed_type_of(const io::job& job);

/// How many of `ranks` ranks generate together: what the job says; or, on fewer ranks than it says, the largest number
/// that divides both.
int tensor_parallel_of(const io::place_section& place, int ranks);

/// Learning rates over the phase's `total_updates`. A warm-up ends with the phase at the latest.
engine::schedule_settings schedule_of(const io::optimizer_options& options, int64_t total_updates);

engine::kl_controller_settings kl_controller_of(const io::ppo_section& ppo);

/// Without a sign of life for so long, a peer counts as gone.
std::chrono::milliseconds silence_of(const io::recovery_section& recovery);

/// Who waits for a card for so long has an error that names it, while the supervisor would only see a rank that hangs.
std::chrono::milliseconds patience_with_card(const io::recovery_section& recovery);

/// Ranks whose cards are not joined by then do without, before they count as ranks that hang.
std::chrono::milliseconds patience_with_joining(const io::recovery_section& recovery);

/// A rank that waits for so long in one operation of a communicator ends itself. The supervisor acts much earlier: it
/// sees all ranks and can name the one that the others wait for, while a rank can only say that it waits. This
/// deadline is for a supervisor that cannot act.
std::chrono::milliseconds patience_with_peers(const io::recovery_section& recovery);

}  // namespace troupe::actors
