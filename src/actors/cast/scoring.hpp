/// What the scoring actors (reference, reward, critic) have in common: sequences wait in a queue until the director
/// gives them the device, and are then scored in micro-batches, in the order of their ids. What is found goes to
/// replay.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/protocol/rank_data.hpp"
#include "base/pulse.hpp"
#include "engine/parallel/communicator.hpp"
#include "engine/train/batch.hpp"

#include <caf/all.hpp>

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

/// Some of the sequences that wait, and prompt and answer of each end to end.
struct scored_batch {
  std::span<const sequence_handle> sequences;
  engine::packed_batch packed;
};

/// Prompt and answer of each, end to end.
engine::packed_batch pack(std::span<const sequence_handle> sequences);

/// Scores all that waits in micro-batches of about `token_budget` tokens: `score` is given each. With a `group` (the
/// ranks that share the scorer's weights) all its ranks call this, and `score` is called equally often on each: with
/// an empty batch where nothing is left. `progress` is touched after each.
/// Errors  lost_peer; those of `score`.
score_reply score_waiting(scoring_queue& queue, const operation_scope& progress, int64_t token_budget,
                          const engine::communicator_ptr& group,
                          const std::function<void(const scored_batch& batch)>& score);

/// `values_A` of answers that stand end to end, by sequence.
std::vector<std::vector<float>> by_answer(std::span<const sequence_handle> sequences, std::span<const float> values_A);

/// Sends each sequence's values to `receiver`.
void send_scores(const caf::actor& receiver, scorer by, std::span<const sequence_handle> sequences,
                 std::vector<std::vector<float>> values_by_sequence);

struct sequence_scorer_settings {
  device_ptr on;
  role as = role::reference;  ///< whose sign of life its work is
  scorer by = scorer::reference;
  int64_t micro_batch_tokens = 2048;
  caf::actor replay;
};

/// The queue of one scoring actor, and the way from there to replay.
class sequence_scorer {
public:
  /// What the model says of a batch: values by sequence.
  using judgement = std::function<std::vector<std::vector<float>>(context& ctx, const scored_batch& batch)>;

  explicit sequence_scorer(sequence_scorer_settings settings) : settings_(std::move(settings)) {}

  void add(const sequence_handle& sequence) { queue_.add(sequence); }

  /// Scores all that waits, and sends it. `operation` is what a hang is called: "critic values". `group`: see
  /// score_waiting.
  score_reply score(const char* operation, const engine::communicator_ptr& group, const judgement& judge);

private:
  sequence_scorer_settings settings_;
  scoring_queue queue_;
};

}  // namespace troupe::actors
