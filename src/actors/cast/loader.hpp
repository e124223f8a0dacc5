/// The loader owns a phase's data sets. It serves batches as a function of (seed, counter): a cursor is one integer,
/// and what was prefetched never matters.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/protocol/interfaces.hpp"
#include "actors/protocol/rank_data.hpp"
#include "io/datasets/blend.hpp"
#include "io/datasets/examples.hpp"
#include "io/job/job.hpp"

#include <caf/all.hpp>

#include <optional>

namespace troupe::actors {

struct loader_settings {
  io::job job;
  device_ptr on;
  int64_t shares = 1;  ///< of batches (micro_batch_rules)
  io::phase phase = io::phase::sft;
  io::phase_data data;
  std::optional<io::phase_data> mixture;  ///< text for mixture training
  caf::actor trainee;                     ///< policy, or the reward model that learns
};

/// The phase's training data as the loader draws from it.
std::vector<io::blend_source> sources_of(const io::phase_data& data, const io::job& job);

class loader_state {
public:
  static inline const char* name = "loader";

  void open(loader_settings settings);
  serve_reply serve(const serve_command& command);

private:
  using examples = std::vector<const io::example*>;

  examples choose(io::blend& order, const io::phase_data& data, uint64_t counter, int64_t count) const;
  /// Every `stride`-th of the held-out examples, so that all sources are seen; at most `count`.
  examples choose_held_out(int64_t count) const;
  void pack(const examples& chosen, example_batch& batch, serve_reply& reply, bool pairs, bool all_tokens,
            int64_t token_budget) const;
  void add_prompts(const examples& chosen, example_batch& batch, serve_reply& reply) const;

  loader_settings settings_;
  std::optional<io::blend> order_, mixture_order_;
};

loader_actor::behavior_type loader(loader_actor::stateful_pointer<loader_state> self, loader_settings settings);

}  // namespace troupe::actors
