/// Tensor parallelism for generation: each rank of a group computes a part of the columns of a product's result, from the
/// same rows of the weight, and the parts are gathered. No sum is split, so the bits are those of one rank.
///
/// Parts    Attention is divided by heads, the feed-forward by its units (gate and up rows alike), `out` and `down` by the
///          columns of the residual stream, the token table and the head by tokens of the vocabulary (so that a tied head
///          is the table's own part): as evenly as whole heads, units, columns and tokens allow, the first ranks having more.
/// Heads    A rank has whole key/value heads with all of their queries. Where there are more ranks than key/value heads,
///          several ranks hold the same one and divide its queries: the cache shrinks by the number of key/value heads then.
/// Tokens   Each rank looks up the tokens of its part; the rows found are gathered, and so are the logits of the ranks' parts
///          of the vocabulary: every rank draws from all of them, and draws the same.
/// Whole    on every rank: position tables, norms and the projections of OPT-350m.
/// Traffic  A call of N rows gathers rows of the token table, and four times in each layer: behind attention, out, activation
///          and down; then logits, 32 rows at a time. Rank r, with H_r heads, F_r units, D_r columns, V_r tokens, N_r of the
///          call's rows looked up there and S rows drawn from, sends
///            4 (T - 1) N (H_r K + F_r + 2 D_r) bytes for a layer, and 4 (T - 1) (N_r E + S V_r) outside of them.
#pragma once

#include "engine/models/description.hpp"
#include "engine/parallel/communicator.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe::engine {

/// Rows [first, last) of a weight, or heads, units, columns or tokens.
struct row_range {
  int64_t first = 0, last = 0;
  int64_t size() const { return last - first; }
  bool operator==(const row_range&) const = default;
};

/// What is one rank's.
struct column_split {
  int rank = 0, ranks = 1;
  row_range heads, kv_heads, units, columns, tokens;
  /// Where the ranks' parts begin in a row of attention's output [H K], of activated units [F], of the stream [D], of
  /// logits [V].
  std::vector<int64_t> query_R1, unit_R1, column_R1, token_R1;
};

/// Errors  bad_argument: more ranks than heads, units, columns or tokens; rank is not one of them.
column_split split_columns(const model_description& whole, int rank, int ranks);

/// `whole` with the heads, key/value heads and units of one rank: the shape of its attention, cache and activations.
model_description description_of(const model_description& whole, const column_split& split);

/// Ranks that run one model's generation together, and this one's share.
struct column_group {
  communicator_ptr ranks;
  column_split split;
};

/// whole_NO [N, O] := the ranks' parts side by side. Rank r's part [N, O_r] stands at N * offset_R1[r] of `parts`, O_r being
/// offset_R1[r + 1] - offset_R1[r]; this rank's is there on entry. A single row's parts are the whole: `parts` may be it.
/// Errors  lost_peer.
void gather_columns(communicator& group, std::span<const int64_t> offset_R1, int64_t n, float* parts, float* whole_NO);

/// How the rows of a call are looked up: in the order of the ranks that have them.
struct token_turns {
  std::vector<int64_t> row_R1;   ///< where each rank's rows begin among the N. [R + 1]
  std::vector<int64_t> place_N;  ///< where among them each row of the call is
};

/// Errors  bad_argument: a token outside of the vocabulary.
token_turns turns_of(const column_split& split, std::span<const int32_t> token_N);

}  // namespace troupe::engine
