#include "engine/models/transformer.hpp"

#include "base/error.hpp"
#include "engine/models/block.hpp"
#include "engine/models/saved_activations.hpp"
#include "engine/models/transformer_parts.hpp"

namespace troupe::engine {

void transformer::forward(context& ctx, const weights_view& weights, const token_batch& batch, reals hidden_ND,
                          saved_activations& saved) const {
  const parts& net = own();
  const block_call call = net.packed_call(ctx, weights.data, batch);
  saved_activations::storage& kept = *saved.storage_;
  kept.prepare(ctx, net.description, call.n, call.type);
  segment_walk walk(ctx, weights.access, 0, net.last_segment());
  if (call.n == 0) {
    walk.enter_all();
    return;
  }
  walk.enter_next();
  net.embed(call, kept.input(0));
  for (int64_t layer = 0; layer < kept.layers; ++layer) {
    walk.enter_next();
    block_forward(call, net.slots.blocks[static_cast<size_t>(layer)], {}, kept.block(layer), kept.input(layer + 1));
  }
  walk.enter_next();
  net.finish(call, kept.input(kept.layers), hidden_ND);
}

void transformer::backward(context& ctx, const weights_view& weights, const token_batch& batch,
                           saved_activations& saved, reals dhidden_ND, float* gradients,
                           const std::function<void(int64_t)>& segment_done) const {
  const parts& net = own();
  const block_call call = net.packed_call(ctx, weights.data, batch, call_kind::backward);
  saved_activations::storage& kept = *saved.storage_;
  if (kept.n != call.n || kept.layers != net.description.layers) {
    throw error(errc::shape_mismatch, "backward was given {} tokens and {} layers, the saved forward had {} and {}",
                call.n, net.description.layers, kept.n, kept.layers);
  }
  segment_walk walk(ctx, weights.access, net.last_segment(), net.embeds_further() ? 0 : 1);
  const auto done = [&](int64_t segment) {
    if (segment_done) {
      segment_done(segment);
    }
  };
  if (call.n == 0) {
    for (int64_t segment = net.last_segment(); weights.access != nullptr && segment >= 0; --segment) {
      walk.enter_next();
      done(segment);
    }
    return;
  }
  reals dstream_ND = call.room(call.scratch.dstream_ND, call.n * kept.width);
  walk.enter_next();
  net.finish_backward(call, kept.input(kept.layers), dhidden_ND, dstream_ND, gradients);
  done(kept.layers + 1);
  for (int64_t layer = kept.layers - 1; layer >= 0; --layer) {
    const block_slots& block = net.slots.blocks[static_cast<size_t>(layer)];
    const block_buffers buffers = kept.block(layer);
    walk.enter_next();
    if (kept.checkpointing) {
      block_forward(call, block, {}, buffers, nullptr);
    }
    block_backward(call, block, buffers, dstream_ND, gradients);
    done(layer + 1);
  }
  walk.enter_next();  // where it reads any
  net.embed_backward(call, dstream_ND, gradients);
  done(0);
}

}  // namespace troupe::engine
