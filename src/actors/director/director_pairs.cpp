// The plan of the pairs phase: preference pairs from the policy's own samples. Each iteration leaves a file, so the files
// are the checkpoint: an iteration's record is durable before its file is.
#include "actors/cast/loader.hpp"
#include "actors/cast/replay.hpp"
#include "actors/cast/reward.hpp"
#include "actors/director/director_plans.hpp"
#include "io/experience/pairs_file.hpp"

namespace troupe::actors {

task<> director_state::pairs() {
  const io::pairs_section& section = settings_->job.pairs;
  const int64_t each = section.prompts_per_iteration;
  const auto total = static_cast<uint64_t>((section.prompts + each - 1) / each);
  state_.counter = std::min<uint64_t>(total, static_cast<uint64_t>(io::count_pairs_parts(settings_->run)));
  const int64_t done = state_.counter > 0 ? static_cast<int64_t>(state_.counter) : -1;
  co_await cut_records("pairs", done);
  if (state_.counter == 0) {
    note("phase_started", "pairs", total);
  } else {
    note("phase_resumed", "pairs", state_.counter, "the pairs made so far are kept");
  }
  const auto replays = everyone<replay_actor>(&cast::replay);
  while (state_.counter < total && !stopping_) {
    try {
      const statistics rolled = co_await roll_out(serving::prompts, state_.counter);
      const train_reply made = together(co_await ask_everyone<train_reply>(self_, replays, assemble_atom_v));
      const uint64_t part = state_.counter++;
      metrics_record line;
      line.iteration = state_.counter;
      line.counts_iterations = true;
      line.values = made.statistics;
      merge(line.values, rolled);
      show("", state_.counter, total, "iterations",
           fmt::format("{:.0f} pairs of {:.0f} samples", statistic(made.statistics, "pairs/made"),
                       statistic(made.statistics, "pairs/samples")));
      co_await record(std::move(line));
      co_await ask<bool>(self_, replays.front(), save_atom_v, part);  // rank 0, as all files
      note("checkpoint", "pairs", state_.counter, "the pairs of this iteration are on disk");
    } catch (const stop_requested&) {
      break;  // in the middle of a rollout: it is done again, to the same tokens
    }
  }
  if (state_.counter == total) {
    io::join_pairs_parts(settings_->run, static_cast<int64_t>(total), fence());
    note("phase_finished", "pairs", state_.counter);
  }
}

}  // namespace troupe::actors
