#include "actors/director/pairs_plan.hpp"

#include "actors/director/replies.hpp"
#include "actors/director/rollout.hpp"
#include "io/experience/pairs_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace troupe::actors {

task<> pairs_plan::resume() {
  phase_state& state = on_.state();
  state.counter = std::min<uint64_t>(total_, static_cast<uint64_t>(io::count_pairs_parts(on_.run())));
  const int64_t kept = state.counter > 0 ? static_cast<int64_t>(state.counter) : -1;
  co_await on_.truncate_records(kept);
  if (state.counter == 0) {
    on_.note(io::ledger_kind::phase_started, total_);
  } else {
    on_.note(io::ledger_kind::phase_resumed, state.counter, "the pairs made so far are kept");
  }
}

task<> pairs_plan::iterate() {
  phase_state& state = on_.state();
  const statistics rolled = co_await roll_out(on_, serving::prompts, state.counter);
  const train_reply made = joined(co_await on_.ask_all<replay_actor, train_reply>(&cast::replay, assemble_atom_v));
  const uint64_t part = state.counter++;
  metrics_record line;
  line.iteration = state.counter;
  line.counts_iterations = true;
  line.values = made.statistics;
  merge(line.values, rolled);
  on_.show("", total_, "iterations",
           fmt::format("{:.0f} pairs of {:.0f} samples", statistic(made.statistics, "pairs/made"),
                       statistic(made.statistics, "pairs/samples")));
  co_await on_.record(std::move(line));
  co_await on_.ask_first<replay_actor, bool>(&cast::replay, save_atom_v, part);  // rank 0, as all files
  on_.note(io::ledger_kind::checkpoint, state.counter, "the pairs of this iteration are on disk");
}

task<> pairs_plan::perform() {
  const io::pairs_section& section = on_.job().pairs;
  const int64_t each = section.prompts_per_iteration;
  total_ = static_cast<uint64_t>((section.prompts + each - 1) / each);
  co_await resume();
  try {
    while (on_.state().counter < total_ && !on_.stopping()) {
      co_await iterate();
    }
  } catch (const stop_requested&) {
    // In the middle of a rollout: it is done again, to the same tokens.
  }
  if (on_.state().counter == total_) {
    io::join_pairs_parts(on_.run(), static_cast<int64_t>(total_), on_.fence());
    on_.finish_phase();
  }
}

}  // namespace troupe::actors
