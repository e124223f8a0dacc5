/// The loader owns a phase's data sets. It serves batches as a function of (seed, counter): a cursor is one integer,
/// and what was prefetched never matters.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/models/options.hpp"
#include "actors/protocol/interfaces.hpp"
#include "actors/protocol/rank_data.hpp"
#include "io/datasets/blend.hpp"
#include "io/datasets/examples.hpp"
#include "io/job/job.hpp"

#include <caf/all.hpp>

#include <optional>
#include <vector>

namespace troupe::actors {

/// Data that one kind of batch is drawn from.
struct loader_data {
  io::phase_data examples;
  std::vector<io::blend_source> sources;  ///< size and weight of each training set
};

struct loader_settings {
  device_ptr on;
  io::phase phase = io::phase::sft;
  batch_options batches;
  int64_t shares = 1;  ///< of batches (micro_batch_rules)
  loader_data data;
  std::optional<loader_data> mixture;  ///< text for mixture training
  caf::actor trainee;                  ///< gets the batches: the policy, or the reward model that learns
};

class loader_state {
public:
  static inline const char* name = "loader";

  void open(loader_settings settings);
  /// Makes the batch, and sends it to the trainee; says what it holds.
  serve_reply serve(const serve_command& command);

private:
  using examples = std::vector<const io::example*>;

  /// The `count` training examples of an update or iteration.
  /// Errors  bad_argument: there is no order, since the phase has no data.
  examples choose(std::optional<io::blend>& order, const io::phase_data& data, uint64_t counter, int64_t count) const;
  /// Held-out examples, at most `count`: evenly spread, so that all sources are seen.
  examples choose_held_out(int64_t count) const;
  void add_sequences(const examples& chosen, bool pairs, int64_t token_budget, example_batch& batch,
                     serve_reply& reply) const;
  void add_prompts(const examples& chosen, example_batch& batch, serve_reply& reply) const;
  void add_mixture(uint64_t counter, example_batch& batch, serve_reply& reply);
  void fill(const serve_command& command, example_batch& batch, serve_reply& reply);

  loader_settings settings_;
  std::optional<io::blend> order_, mixture_order_;
};

/// Spawn it detached: its handlers block while they work.
loader_actor::behavior_type loader(loader_actor::stateful_pointer<loader_state> self, loader_settings settings);

}  // namespace troupe::actors
