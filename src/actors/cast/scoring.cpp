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
  for (const sequence_handle& one : sequences) {
    batch.add(one->prompt.tokens, one->answer);
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
    size_t one = 0;
    if (bytes.size() != sizeof(one)) {
      throw error(errc::lost_peer, "a rank sent {} bytes of a number of batches", bytes.size());
    }
    std::memcpy(&one, bytes.data(), sizeof(one));
    most = std::max(most, one);
  }
  return most;
}

score_reply
score_waiting(scoring_queue& queue, const operation_scope& progress, int64_t token_budget,
              const engine::communicator_ptr& group,
              const std::function<void(std::span<const sequence_handle>, const engine::packed_batch&)>& score) {
  const stopwatch watch;
  score_reply reply;
  std::vector<std::vector<sequence_handle>> micro_batches;
  while (queue.waiting() > 0) {
    micro_batches.push_back(queue.take(token_budget));
    reply.sequences += static_cast<int64_t>(micro_batches.back().size());
  }
  micro_batches.resize(most_of(group, micro_batches.size()));
  for (const std::vector<sequence_handle>& taken : micro_batches) {
    const engine::packed_batch batch = pack(taken);
    score(taken, batch);
    reply.tokens += batch.tokens();
    progress.touch();
  }
  reply.seconds = watch.seconds();
  return reply;
}

void send_answer_scores(const caf::actor& receiver, scorer by, std::span<const sequence_handle> sequences,
                        std::span<const float> values_A) {
  size_t first = 0;
  for (const sequence_handle& one : sequences) {
    auto scores = std::make_shared<sequence_scores>();
    scores->sequence_id = one->sequence_id;
    scores->by = by;
    const auto part = values_A.subspan(first, one->answer.size());
    scores->values.assign(part.begin(), part.end());
    first += one->answer.size();
    caf::anon_send(receiver, scores_handle{std::move(scores)});
  }
}

}  // namespace troupe::actors
