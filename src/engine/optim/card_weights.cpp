#include "engine/optim/card_weights.hpp"

#include "base/assert.hpp"
#include "base/error.hpp"

#include <utility>

namespace troupe::engine {

card_weights::~card_weights() {
  if (arena_ != nullptr) {
    on_->free(arena_);
  }
}

/// To pages of its own.
void card_weights::send(context& ctx, int64_t segment) {
  const arena_range range = plan_.segment(segment);
  try {
    on_->map(arena_ + range.first * size_of(type_), range.size() * size_of(type_));
    send_segment(ctx, plan_, segment, host_->data, data(), through_);
  } catch (const error& failure) {
    if (failure.code() == errc::out_of_memory) {
      unmap(segment);
    }
    throw;
  }
}

void card_weights::unmap(int64_t segment) {
  const arena_range range = plan_.segment(segment);
  on_->unmap(arena_ + range.first * size_of(type_), range.size() * size_of(type_));
}

weights_view card_weights::begin_use(context& ctx, const weights_view& host) {
  if (arena_ == nullptr) {
    on_ = ctx.on;
    arena_ = on_->reserve(plan_.arena_size() * size_of(type_), holder_);
  }
  host_ = host;
  if (host.access != nullptr) {
    segments_.assign(static_cast<size_t>(plan_.segments()), {});
    return {data(), this};
  }
  for (int64_t s = 0; outdated_ && s < plan_.segments(); ++s) {
    send(ctx, s);
  }
  outdated_ = false;
  return {data()};
}

void card_weights::end_use() {
  for (segment_state& state : segments_) {
    state.holds = 0;
  }
  drop_idle();
  segments_.clear();
  host_.reset();
}

void card_weights::give_back() {
  if (arena_ != nullptr) {
    on_->unmap(arena_, plan_.arena_size() * size_of(type_));
  }
  outdated_ = true;
}

void card_weights::drop_idle() {
  for (size_t s = 0; s < segments_.size(); ++s) {
    if (segments_[s].present && segments_[s].holds == 0) {
      segments_[s].present = false;
      unmap(static_cast<int64_t>(s));
    }
  }
}

void card_weights::prefetch(int64_t segment) { host_->access->prefetch(segment); }

/// What is not in use stays until something else is sent, since the next pass may begin with it. The ranks ask each
/// other for it nevertheless, in the order of their passes.
void card_weights::acquire(context& ctx, int64_t segment) {
  const held_segment held(ctx, host_->access, segment);
  segment_state& state = segments_[static_cast<size_t>(segment)];
  if (!state.present) {
    drop_idle();
    send(ctx, segment);
    state.present = true;
  }
  ++state.holds;
}

void card_weights::release(int64_t segment) {
  segment_state& state = segments_[static_cast<size_t>(segment)];
  TROUPE_ASSERT(state.holds > 0);
  --state.holds;
}

weights_in_use::weights_in_use(context& ctx, rank_weights& of, card_weights* on_card)
    : gathered_(of), on_card_(on_card), segments_(of.sharded() ? of.plan()->segments() : 0),
      view_(on_card != nullptr ? on_card->begin_use(ctx, gathered_.view()) : gathered_.view()) {}

weights_in_use::~weights_in_use() {
  try {
    if (on_card_ != nullptr) {
      on_card_->end_use();
    }
  } catch (const error&) {  // a card that has failed: its memory goes with the process
  }
}

void weights_in_use::hold_all(context& ctx) {
  if (view_.access != nullptr) {
    acquire_all(ctx, *view_.access, segments_);
  }
}

}  // namespace troupe::engine
