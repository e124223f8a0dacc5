#include "engine/tensor_parallel/columns.hpp"

#include "base/error.hpp"
#include "base/round_up.hpp"
#include "engine/tensor/transfer.hpp"
#include "kernels/rows.hpp"

#include <algorithm>
#include <numeric>

namespace troupe::engine {

namespace {

/// Of a card: whatever computes there may read from here.
constexpr int64_t block_alignment = 128;

/// Where `parts` parts of `count` things begin, the first parts having one more.
std::vector<int64_t> divide(int64_t count, int64_t parts) {
  std::vector<int64_t> first;
  for (int64_t p = 0; p <= parts; ++p) {
    first.push_back(count / parts * p + std::min(count % parts, p));
  }
  return first;
}

row_range part(const std::vector<int64_t>& first, int64_t p) {
  return {first[static_cast<size_t>(p)], first[static_cast<size_t>(p) + 1]};
}

struct head_parts {
  std::vector<int64_t> query_R1;
  std::vector<row_range> kv_R;
};

head_parts divide_heads(const model_description& whole, int ranks) {
  const int64_t queries = whole.heads / whole.kv_heads;
  head_parts parts;
  if (ranks <= whole.kv_heads) {
    const std::vector<int64_t> kv_R1 = divide(whole.kv_heads, ranks);
    for (int r = 0; r < ranks; ++r) {
      parts.kv_R.push_back(part(kv_R1, r));
      parts.query_R1.push_back(parts.kv_R.back().first * queries);
    }
  } else {
    const std::vector<int64_t> rank_G1 = divide(ranks, whole.kv_heads);
    for (int64_t g = 0; g < whole.kv_heads; ++g) {
      const int64_t sharers = part(rank_G1, g).size();
      const std::vector<int64_t> query_S1 = divide(queries, sharers);
      for (int64_t s = 0; s < sharers; ++s) {
        parts.kv_R.push_back({g, g + 1});
        parts.query_R1.push_back(g * queries + query_S1[static_cast<size_t>(s)]);
      }
    }
  }
  parts.query_R1.push_back(whole.heads);
  return parts;
}

}  // namespace

column_split split_columns(const model_description& whole, int rank, int ranks) {
  const int64_t most = std::min({whole.heads, whole.feed_forward, whole.width, whole.vocabulary});
  if (ranks < 1 || ranks > most || rank < 0 || rank >= ranks) {
    throw error(
        errc::bad_argument,
        "rank {} of {} for tensor parallelism over {} heads, {} feed-forward units, {} columns and {} tokens: use "
        "1 to {} ranks (place.tensor-parallel)",
        rank, ranks, whole.heads, whole.feed_forward, whole.width, whole.vocabulary, most);
  }
  head_parts heads = divide_heads(whole, ranks);
  column_split split;
  split.rank = rank;
  split.ranks = ranks;
  split.heads = part(heads.query_R1, rank);
  split.kv_heads = heads.kv_R[static_cast<size_t>(rank)];
  split.query_R1 = std::move(heads.query_R1);
  for (int64_t& offset : split.query_R1) {
    offset *= whole.head_width;
  }
  split.unit_R1 = divide(whole.feed_forward, ranks);
  split.column_R1 = divide(whole.width, ranks);
  split.token_R1 = divide(whole.vocabulary, ranks);
  split.units = part(split.unit_R1, rank);
  split.columns = part(split.column_R1, rank);
  split.tokens = part(split.token_R1, rank);
  return split;
}

std::vector<int64_t> column_blocks(const context& ctx, std::span<const int64_t> offset_R1, int64_t n) {
  const int64_t alignment = ctx.on != nullptr ? block_alignment : 1;
  std::vector<int64_t> block_R1 = {0};
  for (size_t r = 0; r + 1 < offset_R1.size(); ++r) {
    block_R1.push_back(block_R1[r] + round_up(n * (offset_R1[r + 1] - offset_R1[r]), alignment));
  }
  return block_R1;
}

void gather_columns(context& ctx, communicator& group, std::span<const int64_t> offset_R1, int64_t n, reals parts,
                    reals whole_NO) {
  const std::vector<int64_t> block_R1 = column_blocks(ctx, offset_R1, n);
  group.all_gather(parts, block_R1.back(), block_R1, {.label = "columns"}).wait();
  if (parts.data() == whole_NO.data()) {
    return;
  }
  const int64_t outputs = offset_R1.back();
  for (size_t r = 0; r + 1 < offset_R1.size(); ++r) {
    const int64_t width = offset_R1[r + 1] - offset_R1[r];
    kernels::copy_rows(
        ctx,
        {.to = whole_NO + offset_R1[r], .from = parts + block_R1[r], .n = n, .width = width, .to_stride = outputs});
  }
}

token_turns turns_of(const column_split& split, std::span<const int32_t> token_N) {
  token_turns turns;
  turns.row_R1.assign(split.token_R1.size(), 0);
  std::vector<size_t> rank_N;
  for (const int32_t token : token_N) {
    if (token < 0 || token >= split.token_R1.back()) {
      throw error(errc::bad_argument, "token {} is outside of the vocabulary of {}", token, split.token_R1.back());
    }
    const auto behind = std::upper_bound(split.token_R1.begin(), split.token_R1.end(), static_cast<int64_t>(token));
    rank_N.push_back(static_cast<size_t>(behind - split.token_R1.begin()) - 1);
    ++turns.row_R1[rank_N.back() + 1];
  }
  std::partial_sum(turns.row_R1.begin(), turns.row_R1.end(), turns.row_R1.begin());
  std::vector<int64_t> next_R1 = turns.row_R1;
  for (const size_t rank : rank_N) {
    turns.place_N.push_back(next_R1[rank]++);
  }
  return turns;
}

const std::vector<int64_t>& column_exchange::offset_R1(divided_result of) const {
  switch (of) {
  case divided_result::attention:
    return split_.query_R1;
  case divided_result::activated:
    return split_.unit_R1;
  case divided_result::stream:
    return split_.column_R1;
  case divided_result::logits:
    break;
  }
  return split_.token_R1;
}

/// The parts of a single row are the whole row, unless there is room between them.
reals column_exchange::parts_of(context& ctx, std::span<const int64_t> block_R1, int64_t columns, reals whole_NO) {
  return block_R1.back() == columns ? whole_NO : parts_.room(ctx, whole_NO.type(), block_R1.back());
}

reals column_exchange::own_columns(context& ctx, divided_result of, int64_t n, reals whole_NO) {
  const std::vector<int64_t>& columns_R1 = offset_R1(of);
  const std::vector<int64_t> block_R1 = column_blocks(ctx, columns_R1, n);
  return parts_of(ctx, block_R1, columns_R1.back(), whole_NO) + block_R1[static_cast<size_t>(split_.rank)];
}

void column_exchange::complete(context& ctx, divided_result of, int64_t n, reals whole_NO) {
  const std::vector<int64_t>& columns_R1 = offset_R1(of);
  const std::vector<int64_t> block_R1 = column_blocks(ctx, columns_R1, n);
  gather_columns(ctx, *group_, columns_R1, n, parts_of(ctx, block_R1, columns_R1.back(), whole_NO), whole_NO);
}

std::span<const int32_t> column_exchange::on_host(context& ctx, std::span<const int32_t> token_N) {
  if (ctx.on == nullptr) {
    return token_N;
  }
  token_N_.resize(token_N.size());
  fetch(ctx, std::span(token_N_), token_N.data());
  return token_N_;
}

void column_exchange::look_up(context& ctx, std::span<const int32_t> token_N, int64_t width, reals y_NE,
                              const table_lookup& own) {
  token_N = on_host(ctx, token_N);
  token_turns turns = turns_of(split_, token_N);
  const auto n = static_cast<int64_t>(token_N.size());
  const row_range mine = {turns.row_R1[static_cast<size_t>(split_.rank)],
                          turns.row_R1[static_cast<size_t>(split_.rank) + 1]};
  row_M_.resize(static_cast<size_t>(mine.size()));
  for (size_t i = 0; i < token_N.size(); ++i) {
    const int64_t place = turns.place_N[i];
    if (place >= mine.first && place < mine.last) {
      row_M_[static_cast<size_t>(place - mine.first)] = token_N[i] - static_cast<int32_t>(split_.tokens.first);
    }
  }
  sheet_.begin();
  const size_t rows = sheet_.add<int32_t>(row_M_);
  const size_t places = sheet_.add<int64_t>(turns.place_N);
  sheet_.send(ctx);
  const reals found_NE = n == 1 ? y_NE : parts_.room(ctx, y_NE.type(), n * width);
  if (!row_M_.empty()) {
    own({sheet_.at<int32_t>(rows), row_M_.size()}, found_NE + mine.first * width);
  }
  for (int64_t& offset : turns.row_R1) {
    offset *= width;
  }
  group_->all_gather(found_NE, n * width, turns.row_R1, {.label = "embeddings"}).wait();
  if (n > 1) {
    kernels::gather_rows(ctx, {y_NE, found_NE, sheet_.at<int64_t>(places), n, width});
  }
}

}  // namespace troupe::engine
