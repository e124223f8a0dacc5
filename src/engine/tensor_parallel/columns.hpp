/// Tensor parallelism for generation: each rank of a group computes a part of the columns of a product's result, from
/// the same rows of the weight, and the parts are gathered. No sum is split, so the bits are those of one rank.
///
/// Parts    Attention is divided by heads, the feed-forward by its units (gate and up rows alike), `out` and `down`
///          by the columns of the residual stream, the token table and the head by tokens of the vocabulary (so that
///          a tied head is the table's own part): as evenly as whole heads, units, columns and tokens allow, the
///          first ranks having more.
/// Heads    A rank has whole key/value heads with all of their queries. Where there are more ranks than key/value
///          heads, several ranks hold the same one and divide its queries: the cache shrinks by the number of
///          key/value heads then.
/// Tokens   Each rank looks up the tokens of its part; the rows found are gathered, and so are the logits of the
///          ranks' parts of the vocabulary: every rank draws from all of them, and draws the same.
/// Whole    on every rank: position tables, norms and the projections of OPT-350m.
/// Cards    Columns go from card to card in the type of the results (parallel/between_cards.hpp). Which rank has a row
///          of the token table is for the host to say, so that it waits for the tokens of each call.
/// Traffic  A call of N rows gathers rows of the token table, and four times in each layer: behind attention, out,
///          activation and down; then logits, 32 rows at a time. Rank r, with H_r heads, F_r units, D_r columns, V_r
///          tokens, N_r of the call's rows looked up there and S rows drawn from, sends
///            4 (T - 1) N (H_r K + F_r + 2 D_r) bytes for a layer, and 4 (T - 1) (N_r E + S V_r) outside of them;
///          half of it where a card computes in bfloat16, but for the logits.
#pragma once

#include "base/context.hpp"
#include "base/reals.hpp"
#include "engine/arena/parameters.hpp"
#include "engine/models/model_share.hpp"
#include "engine/models/result_exchange.hpp"
#include "engine/parallel/communicator.hpp"
#include "engine/tensor/buffer.hpp"
#include "engine/tensor/call_sheet.hpp"

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace troupe::engine {

/// One rank's share, and where all ranks' columns of the divided results begin.
struct column_split : model_share {
  int rank = 0, ranks = 1;
  /// In a row of attention's output [H K], of activated units [F], of the stream [D], of logits [V].
  std::vector<int64_t> query_R1, unit_R1, column_R1, token_R1;
};

/// Errors  bad_argument: more ranks than heads, units, columns or tokens; rank is not one of them.
column_split split_columns(const model_description& whole, int rank, int ranks);

/// Where each rank's columns of N rows begin among those of all, one rank's behind the other's, and where the last ones
/// end: rank r's are [N, O_r], O_r being offset_R1[r + 1] - offset_R1[r]. On a card each begins where arrays may.
std::vector<int64_t> column_blocks(const context& ctx, std::span<const int64_t> offset_R1, int64_t n);

/// whole_NO [N, O] := the ranks' columns side by side, of which this rank's are in their block of `parts` on entry.
/// `parts` may be whole_NO where that is the same: of a single row whose blocks have no room between them.
/// `group` takes arrays that lie where `ctx` computes.
/// Errors  lost_peer.
void gather_columns(context& ctx, communicator& group, std::span<const int64_t> offset_R1, int64_t n, reals parts,
                    reals whole_NO);

/// How the rows of a call are looked up: in the order of the ranks that have them.
struct token_turns {
  std::vector<int64_t> row_R1;   ///< where each rank's rows begin among the N. [R + 1]
  std::vector<int64_t> place_N;  ///< where among them each row of the call is
};

/// Errors  bad_argument: a token outside of the vocabulary.
token_turns turns_of(const column_split& split, std::span<const int32_t> token_N);

/// What the ranks of a group bring each other while they run one model.
class column_exchange final : public result_exchange {
public:
  /// `group` takes arrays that lie where the model computes.
  column_exchange(communicator_ptr group, column_split split) : group_(std::move(group)), split_(std::move(split)) {}

  bool needs_host() const override { return true; }
  reals own_columns(context& ctx, divided_result of, int64_t n, reals whole_NO) override;
  void complete(context& ctx, divided_result of, int64_t n, reals whole_NO) override;
  /// Each rank finds the rows of its tokens. They come from all ranks, in the ranks' order, and are put in the call's.
  void look_up(context& ctx, std::span<const int32_t> token_N, int64_t width, reals y_NE,
               const table_lookup& own) override;

private:
  const std::vector<int64_t>& offset_R1(divided_result of) const;
  /// Where the ranks' columns stand until they are in their places.
  reals parts_of(context& ctx, std::span<const int64_t> block_R1, int64_t columns, reals whole_NO);
  std::span<const int32_t> on_host(context& ctx, std::span<const int32_t> token_N);

  communicator_ptr group_;
  column_split split_;
  buffer parts_;
  std::vector<int32_t> token_N_, row_M_;
  call_sheet sheet_;  ///< which rows are looked up, and where each goes
};

}  // namespace troupe::engine
