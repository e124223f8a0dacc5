/// The Transformer that learns: forward passes that keep what backward needs, and backward.
#pragma once

#include "engine/models/inference_model.hpp"

#include <functional>
#include <memory>

namespace troupe::engine {

/// What backward needs of a forward. With checkpointing only each block's input is kept, and the rest recomputed.
/// Reused from batch to batch: it grows to the largest and stays.
class saved_activations {
public:
  explicit saved_activations(bool checkpointing = false);
  ~saved_activations();
  saved_activations(saved_activations&&) noexcept;
  saved_activations& operator=(saved_activations&&) noexcept;
  int64_t bytes() const;

  /// What it holds for a batch of so many tokens.
  static int64_t bytes_for(const model_description& description, int64_t tokens, bool checkpointing);

private:
  friend class transformer;
  struct storage;
  std::unique_ptr<storage> storage_;
};

/// A whole model: what learns is never one rank's share of its columns.
class transformer : public inference_model {
public:
  explicit transformer(const model_description& description) : inference_model(description) {}

  using inference_model::forward;

  /// The same, keeping what backward needs. The bits of hidden_ND are those of the plain forward.
  void forward(context& ctx, const weights_view& weights, const token_batch& batch, reals hidden_ND,
               saved_activations& saved) const;

  /// Accumulates the gradient of every parameter (but the head's own product) onto the arena `gradients`.
  /// dhidden_ND is used up. `segment_done(s)` is called as soon as segment s of this batch's gradient is complete,
  /// the last segment first; given that the head's own product was accumulated before. A batch without tokens calls
  /// it for none; or for all where weights are fetched, since all ranks have to start their fetches and reductions in
  /// one order.
  void backward(context& ctx, const weights_view& weights, const token_batch& batch, saved_activations& saved,
                reals dhidden_ND, float* gradients, const std::function<void(int64_t)>& segment_done = {}) const;
};

}  // namespace troupe::engine
