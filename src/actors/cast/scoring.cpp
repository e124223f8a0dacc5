#include "actors/cast/scoring.hpp"

#include "actors/protocol/type_ids.hpp"
#include "base/error.hpp"
#include "base/stopwatch.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <cstring>

namespace troupe::actors {

std::vector<sequence_handle> scoring_queue::take(int64_t token_budget) {
  std::vector<sequence_handle> taken;
  int64_t tokens = 0;
  while (!waiting_.empty()) {
    const sequence_handle& next = waiting_.begin()->second;
    tokens += next->tokens();
    if (!taken.empty() && tokens > token_budget) {
      break;
    }
    taken.push_back(next);
    waiting_.erase(waiting_.begin());
  }
  return taken;
}

engine::packed_batch pack(std::span<const sequence_handle> sequences) {
  engine::packed_batch batch;
  for (const sequence_handle& sequence : sequences) {
    batch.add(sequence->prompt.tokens, sequence->answer);
  }
  return batch;
}

/// The most that any rank has.
static size_t most_of(const engine::communicator_ptr& group, size_t mine) {
  if (!group) {
    return mine;
  }
  size_t most = 0;
  for (const std::vector<std::byte>& bytes :
       engine::gather_bytes(*group, std::as_bytes(std::span(&mine, 1)), {.label = "number of batches"})) {
    size_t count = 0;
    if (bytes.size() != sizeof(count)) {
      throw error(errc::lost_peer, "a rank sent {} bytes of a number of batches", bytes.size());
    }
    std::memcpy(&count, bytes.data(), sizeof(count));
    most = std::max(most, count);
  }
  return most;
}

score_reply score_waiting(scoring_queue& queue, const operation_scope& progress, int64_t token_budget,
                          const engine::communicator_ptr& group,
                          const std::function<void(const scored_batch& batch)>& score) {
  const stopwatch watch;
  score_reply reply;
  std::vector<std::vector<sequence_handle>> micro_batches;
  while (queue.waiting() > 0) {
    micro_batches.push_back(queue.take(token_budget));
  }
  micro_batches.resize(most_of(group, micro_batches.size()));
  for (const std::vector<sequence_handle>& sequences : micro_batches) {
    const scored_batch batch{.sequences = sequences, .packed = pack(sequences)};
    score(batch);
    reply.tokens += batch.packed.tokens();
    progress.touch();
  }
  reply.seconds = watch.seconds();
  return reply;
}

std::vector<std::vector<float>> by_answer(std::span<const sequence_handle> sequences, std::span<const float> values_A) {
  std::vector<std::vector<float>> values;
  size_t first = 0;
  for (const sequence_handle& sequence : sequences) {
    const auto answer = values_A.subspan(first, sequence->answer.size());
    values.emplace_back(answer.begin(), answer.end());
    first += answer.size();
  }
  return values;
}

void send_scores(const caf::actor& receiver, scorer by, std::span<const sequence_handle> sequences,
                 std::vector<std::vector<float>> values_by_sequence) {
  for (size_t b = 0; b < sequences.size(); ++b) {
    auto scores = std::make_shared<sequence_scores>();
    scores->sequence_id = sequences[b]->sequence_id;
    scores->by = by;
    scores->values = std::move(values_by_sequence[b]);
    caf::anon_send(receiver, scores_handle{std::move(scores)});
  }
}

score_reply sequence_scorer::score(const char* operation, const engine::communicator_ptr& group,
                                   const judgement& judge) {
  const operation_scope scope(settings_.on->pulse_of(settings_.as), operation);
  return score_waiting(queue_, scope, settings_.micro_batch_tokens, group, [&](const scored_batch& batch) {
    send_scores(settings_.replay, settings_.by, batch.sequences, judge(settings_.on->ctx, batch));
  });
}

}  // namespace troupe::actors
