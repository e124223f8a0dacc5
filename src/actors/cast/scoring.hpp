/// What the scoring actors (reference, reward, critic) have in common: sequences wait in a queue until the director gives
/// them the device, and are then scored in micro-batches, in the order of their ids.
#pragma once

#include "actors/protocol/rank_data.hpp"
#include "base/pulse.hpp"
#include "engine/parallel/communicator.hpp"
#include "engine/train/batch.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

namespace troupe::actors {

class scoring_queue {
public:
  void add(const sequence_handle& sequence) { waiting_[sequence->sequence_id] = sequence; }
  int64_t waiting() const { return static_cast<int64_t>(waiting_.size()); }

  /// The next sequences, of about `token_budget` tokens; at least one where any waits.
  std::vector<sequence_handle> take(int64_t token_budget);

private:
  std::map<uint64_t, sequence_handle> waiting_;
};

/// Prompt and answer of each, end to end.
engine::packed_batch pack(std::span<const sequence_handle> sequences);

/// Scores all that waits in micro-batches of about `token_budget` tokens: `score` is given each
/// and sends what it finds. With a `group` (of ranks that share the scorer's weights) all its ranks call it, and `score` is
/// called equally often on each: with an empty batch where nothing is left.
score_reply score_waiting(
    scoring_queue& queue, const operation_scope& progress, int64_t token_budget, const engine::communicator_ptr& group,
    const std::function<void(std::span<const sequence_handle> taken, const engine::packed_batch& batch)>& score);

/// Sends each sequence its part of `values`, whose answers stand end to end, to `receiver`.
void send_answer_scores(const caf::actor& receiver, scorer by, std::span<const sequence_handle> sequences,
                        std::span<const float> values_A);

}  // namespace troupe::actors
