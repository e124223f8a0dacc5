/// The Transformer: forward, backward and incremental decoding over weights that the caller owns. It holds a
/// description, the layout of its parameters and constant tables (rotary angles, ALiBi slopes); nothing that changes.
#pragma once

#include "base/aligned.hpp"
#include "base/context.hpp"
#include "engine/arena/parameters.hpp"
#include "engine/models/description.hpp"
#include "engine/models/weight_access.hpp"
#include "kernels/attention.hpp"

#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace troupe::engine {

/// Packed sequences: N tokens end to end, no pads.
struct token_batch {
  std::span<const int32_t> token_N;
  std::span<const int64_t> offset_B1;
  std::span<const int32_t> position_N;  ///< empty: each sequence counts from 0

  int64_t tokens() const { return static_cast<int64_t>(token_N.size()); }
  int64_t sequences() const { return static_cast<int64_t>(offset_B1.size()) - 1; }
};

/// New tokens of sequences whose past is in a paged cache.
struct paged_batch {
  std::span<const int32_t> token_N;
  std::span<const int32_t> position_N;
  std::span<const kernels::paged_sequence> sequences;
  std::span<const kernels::kv_pages> pages_L;  ///< one per layer
};

/// What backward needs of a forward. With checkpointing only each block's input is kept, and the rest recomputed.
/// Reused from batch to batch: it grows to the largest and stays.
class saved_activations;

struct column_group;

class transformer {
public:
  explicit transformer(const model_description& description);

  /// One rank's part of a model that a group of ranks runs (tensor_parallel/columns.hpp): its description, layout and weights
  /// (tensor_parallel/column_model.hpp) are this rank's, its plain forward, `extend` and `logits` are collective, and their results
  /// those of the whole model. It has no backward, and no forward that keeps anything.
  transformer(const model_description& whole, column_group columns);
  ~transformer();
  transformer(transformer&&) noexcept;

  const model_description& description() const;
  const parameter_layout& layout() const;

  /// The arena as a row of segments, which passes use one at a time: 0 before the blocks, 1 + l block l, L + 1 behind the
  /// blocks (which may be empty). A tied head's matrix is the token table's, in segment 0.
  std::vector<arena_range> segments() const;

  /// Hidden states at the head's input, after the final norm: hidden_ND is [N, D], D = description().embedding_width.
  /// A large batch runs as groups of sequences, so scratch stays bounded; but whole where weights are fetched, so that
  /// all ranks fetch alike. A batch without tokens fetches what others do.
  /// Errors  bad_argument: token id out of vocabulary, position past max_positions (learned, rotary);
  /// shape_mismatch: offsets that do not cover the tokens.
  void forward(context& ctx, const weights_view& weights, const token_batch& batch, float* hidden_ND) const;

  /// The same, keeping what backward needs. The bits of hidden_ND are those of the plain forward.
  void forward(context& ctx, const weights_view& weights, const token_batch& batch, float* hidden_ND,
               saved_activations& saved) const;

  /// Accumulates the gradient of every parameter (but the head's own product) onto the arena `gradients`.
  /// dhidden_ND is used up. `segment_done(s)` is called as soon as segment s of this batch's gradient is complete, the last
  /// segment first; given that the head's own product was accumulated before. A batch without tokens calls it for none; or for
  /// all where weights are fetched, since all ranks have to start their fetches and reductions in one order.
  void backward(context& ctx, const weights_view& weights, const token_batch& batch, saved_activations& saved,
                float* dhidden_ND, float* gradients, const std::function<void(int64_t)>& segment_done = {}) const;

  /// Runs the new tokens, writing their keys and values into the pages; hidden_ND as in forward, bit for bit. All weights
  /// are present.
  void extend(context& ctx, const float* weights, const paged_batch& batch, float* hidden_ND) const;

  /// logits_NV := hidden_ND W_head^T of the language model. All weights are present; on a column group it is collective, and
  /// every rank gets all of them, bit for bit.   Errors  lost_peer.
  void logits(context& ctx, const float* weights, int64_t n, const float* hidden_ND, float* logits_NV) const;

  /// The head's matrix within an arena (weights or gradients): [V, D] of the language model (the embedding's own
  /// where tied), or [1, D] of the scalar head; on a column group, this rank's rows of it. A bias exists for no supported
  /// family.
  const float* head(const float* arena) const;
  float* head(float* arena) const;
  int64_t head_segment() const;  ///< which segment the matrix is in

private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

class saved_activations {
public:
  /// With `checkpointing` the blocks keep their inputs only.
  explicit saved_activations(bool checkpointing = false);
  ~saved_activations();
  saved_activations(saved_activations&&) noexcept;
  int64_t bytes() const;

private:
  friend class transformer;
  struct storage;
  std::unique_ptr<storage> storage_;
};

}  // namespace troupe::engine
