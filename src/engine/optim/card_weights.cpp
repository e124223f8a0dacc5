#include "engine/optim/card_weights.hpp"

#include "base/assert.hpp"
#include "base/error.hpp"

#include <algorithm>
#include <utility>

namespace troupe::engine {

card_weights::~card_weights() {
  if (arena_ != nullptr) {
    on_->free(arena_);
  }
}

/// Segment by segment, so that there is no second copy of all.
void card_weights::take_over(context& ctx, rank_weights& of) {
  if (!streamed_ || of.sharded() || !kept_.empty()) {
    return;
  }
  paged_arena weights = of.take_away();
  std::vector<kept_segment> all;
  for (int64_t s = 0; s < plan_.segments(); ++s) {
    const arena_range range = plan_.segment(s);
    kept_segment& kept = all.emplace_back();
    try {
      kept.pinned = ctx.on->pin(std::max<int64_t>(bytes_of(s), 1));
    } catch (const error& failure) {
      if (failure.code() != errc::out_of_memory) {
        throw;
      }
      kept.pageable.reserve(bytes_of(s));
    }
    to_card_order(ctx, plan_, s, weights.data() + range.first, {kept.data(), type_});
    weights.release(range.first, range.last);
  }
  kept_ = std::move(all);
}

/// To pages of its own, from what is kept.
void card_weights::stream(int64_t segment) {
  segment_state& state = segments_[static_cast<size_t>(segment)];
  if (state.present) {
    return;
  }
  drop_idle();
  on_->map(at(segment), bytes_of(segment));
  state.present = true;
  on_->copy(queue::upload, at(segment), kept_[static_cast<size_t>(segment)].data(), bytes_of(segment));
  state.sent = on_->record(queue::upload);
}

/// To pages of its own.
void card_weights::send(context& ctx, int64_t segment) {
  try {
    on_->map(at(segment), bytes_of(segment));
    send_segment(ctx, plan_, segment, host_->data, data(), through_);
  } catch (const error& failure) {
    if (failure.code() == errc::out_of_memory) {
      unmap(segment);
    }
    throw;
  }
}

void card_weights::unmap(int64_t segment) { on_->unmap(at(segment), bytes_of(segment)); }

weights_view card_weights::begin_use(context& ctx, const weights_view& host) {
  if (arena_ == nullptr) {
    on_ = ctx.on;
    arena_ = on_->reserve(plan_.arena_size() * size_of(type_), holder_);
  }
  host_ = host;
  if (host.access != nullptr || !kept_.empty()) {
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
    state.wanted = false;
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
    if (segments_[s].present && segments_[s].holds == 0 && !segments_[s].wanted) {
      segments_[s].present = false;
      unmap(static_cast<int64_t>(s));
    }
  }
}

void card_weights::prefetch(int64_t segment) {
  if (host_->access != nullptr) {
    host_->access->prefetch(segment);
    return;
  }
  segments_[static_cast<size_t>(segment)].wanted = true;
  stream(segment);
}

/// What is not in use stays until something else is sent, since the next pass may begin with it. The ranks ask each
/// other for it nevertheless, in the order of their passes.
void card_weights::acquire(context& ctx, int64_t segment) {
  segment_state& state = segments_[static_cast<size_t>(segment)];
  if (!kept_.empty()) {
    stream(segment);
    on_->await(queue::compute, state.sent);
    state.wanted = false;
    ++state.holds;
    return;
  }
  const held_segment held(ctx, host_->access, segment);
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

static int64_t segments_of(const rank_weights& of, const card_weights* on_card) {
  if (on_card != nullptr) {
    return on_card->segments();
  }
  return of.sharded() ? of.plan()->segments() : 0;
}

static weights_view begin_use(context& ctx, rank_weights& of, gathered_weights& gathered, card_weights* on_card) {
  if (on_card == nullptr) {
    return gathered.view();
  }
  on_card->take_over(ctx, of);
  return on_card->begin_use(ctx, gathered.view());
}

weights_in_use::weights_in_use(context& ctx, rank_weights& of, card_weights* on_card)
    : gathered_(of), on_card_(on_card), segments_(segments_of(of, on_card)),
      view_(begin_use(ctx, of, gathered_, on_card)) {}

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
