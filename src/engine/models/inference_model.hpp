/// A Transformer that runs forward only, over weights that the caller owns. It holds a description, the layout of its
/// parameters and constant tables (rotary angles, ALiBi slopes); nothing that changes.
#pragma once

#include "base/context.hpp"
#include "engine/arena/parameters.hpp"
#include "engine/models/description.hpp"
#include "engine/models/model_share.hpp"
#include "engine/models/result_exchange.hpp"
#include "engine/models/token_batch.hpp"
#include "engine/models/weight_access.hpp"

#include <memory>
#include <vector>

namespace troupe::engine {

struct workspace;

class inference_model {
public:
  explicit inference_model(const model_description& description);

  /// One rank's share of a model. Description, layout and weights are the share's; `forward`, `extend` and `logits` are
  /// collective where `others` is, and their results are those of the whole model.
  inference_model(const model_description& whole, const model_share& share, std::unique_ptr<result_exchange> others);
  ~inference_model();
  inference_model(inference_model&&) noexcept;

  const model_description& description() const;
  const parameter_layout& layout() const;

  /// The arena as a row of segments, which passes use one at a time: 0 before the blocks, 1 + l block l, L + 1 behind
  /// the blocks (which may be empty). A tied head's matrix is the token table's, in segment 0.
  std::vector<arena_range> segments() const { return layout().segments(); }

  /// Hidden states at the head's input, after the final norm: hidden_ND is [N, D], D = description().embedding_width.
  /// A large batch runs as groups of sequences, so that scratch stays bounded (largest_forward_group); but whole where
  /// weights are fetched, so that all ranks fetch alike. A batch without tokens fetches what others do.
  /// Errors  bad_argument: a token outside of the vocabulary, a position past max_positions (learned, rotary);
  ///         shape_mismatch: offsets that do not cover the tokens.
  void forward(context& ctx, const weights_view& weights, const token_batch& batch, reals hidden_ND) const;

  /// Runs the new tokens, writing their keys and values into the pages. hidden_ND is as in forward, bit for bit. All
  /// weights are present.
  void extend(context& ctx, const_reals weights, const paged_batch& batch, reals hidden_ND) const;

  /// The same of rows that lie on the card. Sends nothing and waits for nothing, so that it can be recorded: scratch
  /// memory is the caller's. Not where a model's results need the host.
  void extend(context& ctx, const_reals weights, const placed_batch& batch, workspace& scratch, reals hidden_ND) const;
  bool needs_host() const;

  /// logits_NV := hidden_ND W_head^T of the language model. All weights are present.
  /// Errors  lost_peer.
  void logits(context& ctx, const_reals weights, int64_t n, const_reals hidden_ND, reals logits_NV) const;

  /// The head's matrix within an arena (weights or gradients): [V, D] of the language model (the token table itself
  /// where tied), or [1, D] of the scalar head. No supported family has a bias there.
  const_reals head(const_reals arena) const;
  float* head(float* arena) const;
  int64_t head_segment() const;  ///< which segment the matrix is in

protected:
  struct parts;
  const parts& own() const { return *parts_; }

private:
  std::unique_ptr<parts> parts_;
};

/// Tokens that a plain forward runs at once, if no single sequence is longer.
inline constexpr int64_t largest_forward_group = 2048;

}  // namespace troupe::engine
