#include "engine/train/card_gradients.hpp"

#include "kernels/rows.hpp"

namespace troupe::engine {

float* card_gradients::onto(context& ctx, const inference_model& net) {
  const int64_t size = net.layout().arena_size();
  float* const arena = arena_.floats(ctx, size);
  if (!begun()) {
    kernels::zero(ctx, arena, size);
    if (!plan_) {
      plan_.emplace(undivided(net.layout()));
    }
    added_.assign(static_cast<size_t>(plan_->segments()), false);
  }
  return arena;
}

void card_gradients::add_segment(context& ctx, int64_t segment, float* sums) {
  const auto index = static_cast<size_t>(segment);
  if (!begun() || added_[index]) {
    return;
  }
  engine::add_segment(ctx, *plan_, segment, arena_.data(), sums, through_);
  added_[index] = true;
}

void card_gradients::add_rest(context& ctx, float* sums) {
  for (size_t segment = 0; segment < added_.size(); ++segment) {
    add_segment(ctx, static_cast<int64_t>(segment), sums);
  }
  added_.clear();
}

void card_gradients::give_back() {
  added_.clear();
  arena_ = buffer(holder);
}

}  // namespace troupe::engine
