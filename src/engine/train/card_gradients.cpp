#include "engine/train/card_gradients.hpp"

#include <algorithm>
#include <utility>

namespace troupe::engine {

void card_gradients::begin_step(std::function<void(int64_t)> arrived) {
  arrived_ = std::move(arrived);
  computes_ = false;
  leaving_.clear();  // of a step that broke off
}

float* card_gradients::onto(context& ctx, const inference_model& net, float* lane) {
  lane_ = lane;
  if (arena_ == nullptr) {
    plan_.emplace(undivided(net.layout()));
    for (int64_t s = 0; s < plan_->segments(); ++s) {
      largest_bytes_ = std::max(largest_bytes_, bytes_of(s));
    }
    on_ = ctx.on;
    arena_ = reinterpret_cast<float*>(on_->reserve(plan_->arena_size() * size_of(dtype::f32), "gradients"));
  }
  ready_S_.assign(static_cast<size_t>(plan_->segments()), {});
  computes_ = true;
  const int64_t last = plan_->segments() - 1;
  for (const int64_t s : {last, net.head_segment()}) {
    bring(ctx, s);
    enter(s);
  }
  bring(ctx, last - 1);
  return arena_;
}

/// With what the lane has of it.
void card_gradients::bring(context& ctx, int64_t s) {
  if (s < 0 || ready_S_[static_cast<size_t>(s)]) {
    return;
  }
  std::optional<mark>& ready = ready_S_[static_cast<size_t>(s)];
  ready = 0;
  if (bytes_of(s) == 0) {
    return;
  }
  on_->map(reinterpret_cast<std::byte*>(at(s)), bytes_of(s));
  if (!lane_has_sum_) {
    on_->zero(queue::compute, at(s), bytes_of(s));
    return;
  }
  std::byte* const room = up_.room(ctx, largest_bytes_);
  on_->finish(sent_up_);
  to_card_order(ctx, *plan_, s, const_reals(lane_ + plan_->segment(s).first), {room, dtype::f32});
  on_->await(queue::upload, step_ended_);
  on_->copy(queue::upload, at(s), room, bytes_of(s));
  ready = sent_up_ = on_->record(queue::upload);
}

/// What computes from now on finds it there.
void card_gradients::enter(int64_t s) {
  if (s >= 0) {
    on_->await(queue::compute, ready_S_[static_cast<size_t>(s)].value());
  }
}

void card_gradients::segment_done(context& ctx, int64_t s) {
  if (leaving_.size() == down_.size()) {
    take_oldest(ctx);
  }
  leaving& next = leaving_.emplace_back(leaving{.segment = s, .down = {}, .room = next_room_});
  next_room_ = (next_room_ + 1) % down_.size();
  if (!computes_) {
    return;
  }
  if (bytes_of(s) > 0) {
    send_down(s, down_[next.room].room(ctx, largest_bytes_));
  }
  next.down = on_->record(queue::download);
  unmap_from(s);
  enter(s - 1);
  bring(ctx, s - 2);
}

void card_gradients::send_down(int64_t s, std::byte* room) {
  on_->await(queue::download, on_->record(queue::compute));
  on_->copy(queue::download, room, at(s), bytes_of(s));
}

/// Nobody needs what is behind a segment that is done, the page included that it shares with the one behind it.
void card_gradients::unmap_from(int64_t s) {
  const int64_t values = plan_->arena_size() - plan_->segment(s).first;
  on_->unmap(reinterpret_cast<std::byte*>(at(s)), values * size_of(dtype::f32));
}

void card_gradients::take_oldest(context& ctx) {
  const leaving oldest = leaving_.front();
  leaving_.pop_front();
  if (oldest.down) {
    on_->finish(*oldest.down);
    const std::byte* const room = down_[oldest.room].room(ctx, largest_bytes_);
    to_host_order(ctx, *plan_, oldest.segment, {room, dtype::f32}, lane_ + plan_->segment(oldest.segment).first);
  }
  if (arrived_) {
    arrived_(oldest.segment);
  }
}

void card_gradients::end_step(context& ctx) {
  while (!leaving_.empty()) {
    take_oldest(ctx);
  }
  if (computes_) {
    // What was brought for a micro-batch that had nothing to learn: the next step writes there by either queue.
    on_->await(queue::compute, sent_up_);
    step_ended_ = on_->record(queue::compute);
    unmap_from(0);
    lane_has_sum_ = true;
  }
}

void card_gradients::give_back() {
  leaving_.clear();
  arrived_ = {};
  lane_has_sum_ = false;
  if (arena_ != nullptr) {
    on_->free(reinterpret_cast<std::byte*>(std::exchange(arena_, nullptr)));
  }
}

}  // namespace troupe::engine
