#include "engine/train/evaluate.hpp"

#include "base/error.hpp"
#include "engine/parallel/division.hpp"
#include "engine/parallel/results.hpp"

#include <algorithm>
#include <cstdint>

namespace troupe::engine {

using bytes = std::vector<std::byte>;

static std::vector<int> ranks_of(std::span<const packed_batch> batches, int ranks) {
  std::vector<int64_t> tokens;
  for (const packed_batch& batch : batches) {
    tokens.push_back(batch.tokens());
  }
  return divide_by_tokens(tokens, ranks);
}

/// The most batches that any rank has.
static int64_t steps_of(const std::vector<int>& rank_of, int ranks) {
  int64_t most = 0;
  for (int r = 0; r < ranks; ++r) {
    most = std::max<int64_t>(most, std::count(rank_of.begin(), rank_of.end(), r));
  }
  return most;
}

/// Each result behind its size.
static void append(bytes& to, const bytes& result) {
  const auto size = static_cast<uint64_t>(result.size());
  const auto head = std::as_bytes(std::span(&size, 1));
  to.insert(to.end(), head.begin(), head.end());
  to.insert(to.end(), result.begin(), result.end());
}

static bytes take(std::span<const std::byte>& from, int rank) {
  uint64_t size = 0;
  if (from.size() >= sizeof(size)) {
    std::memcpy(&size, from.data(), sizeof(size));
  }
  if (from.size() < sizeof(size) || size > from.size() - sizeof(size)) {
    throw error(errc::lost_peer, "rank {} sent results of fewer batches than its share has", rank);
  }
  const auto result = from.subspan(sizeof(size), static_cast<size_t>(size));
  from = from.subspan(sizeof(size) + static_cast<size_t>(size));
  return {result.begin(), result.end()};
}

std::vector<bytes> evaluate_in_shares(communicator* group, std::span<const packed_batch> batches,
                                      const std::function<bytes(const packed_batch& batch)>& one) {
  const int rank = group != nullptr ? group->rank() : 0;
  const int ranks = group != nullptr ? group->size() : 1;
  const std::vector<int> rank_of = ranks_of(batches, ranks);
  bytes mine;
  std::optional<error> failure;
  int64_t steps = 0;
  for (size_t j = 0; j < batches.size(); ++j) {
    if (rank_of[j] != rank) {
      continue;
    }
    if (failure) {
      one({});
    } else {
      failure = error_to_share(false, [&] { append(mine, one(batches[j])); });
    }
    ++steps;
  }
  for (const int64_t most = steps_of(rank_of, ranks); steps < most; ++steps) {
    one({});
  }
  const std::vector<bytes> by_rank = gather_results(group, mine, failure, {.label = "losses"});
  std::vector<std::span<const std::byte>> left(by_rank.begin(), by_rank.end());
  std::vector<bytes> all;
  all.reserve(rank_of.size());
  for (const int r : rank_of) {
    all.push_back(take(left[static_cast<size_t>(r)], r));
  }
  return all;
}

}  // namespace troupe::engine
