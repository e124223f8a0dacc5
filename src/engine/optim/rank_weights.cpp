#include "engine/optim/rank_weights.hpp"

#include "base/assert.hpp"
#include "base/error.hpp"
#include "engine/parallel/between_cards.hpp"

#include <algorithm>

namespace troupe::engine {

rank_weights::rank_weights(int64_t size, dtype type, const arena_place& at) : arena_(size, type, at) {
  arena_.take(0, size);
}

rank_weights::rank_weights(const shard_plan_ptr& plan, communicator_ptr group, dtype type, const arena_place& at)
    : arena_(plan->arena_size(), type, at) {
  const int rank = group->rank();
  shard(plan, std::move(group));
  for (int64_t s = 0; s < plan->segments(); ++s) {
    arena_.take(plan->part(s, rank).first, plan->part(s, rank).last);
  }
}

void rank_weights::shard(shard_plan_ptr plan, communicator_ptr group) {
  if (plan->arena_size() != size() || plan->ranks() != group->size()) {
    throw error(errc::bad_argument, "weights of {} values on {} ranks are given a plan for {} values on {} ranks",
                size(), group->size(), plan->arena_size(), plan->ranks());
  }
  if (group->size() == 1) {
    return;
  }
  plan_ = std::move(plan);
  group_ = std::move(group);
  arenas_ = between_cards(group_, arena_.on());
  drop_others();
}

void rank_weights::drop_others(int64_t segment) {
  const arena_range whole = plan_->segment(segment);
  const arena_range own = plan_->part(segment, group_->rank());
  arena_.release(whole.first, own.first);
  arena_.release(own.last, whole.last);
}

void rank_weights::drop_others() {
  for (int64_t s = 0; plan_ && s < plan_->segments(); ++s) {
    drop_others(s);
  }
}

gathered_weights::gathered_weights(rank_weights& of) : of_(of) {
  if (!of_.sharded()) {
    return;
  }
  if (of_.gathered_) {
    throw error(errc::bad_argument, "the sharded weights of a model are used by two at the same time");
  }
  of_.gathered_ = true;
  segments_.resize(static_cast<size_t>(of_.plan_->segments()));
}

gathered_weights::~gathered_weights() {
  if (!of_.sharded()) {
    return;
  }
  for (segment_state& state : segments_) {
    state.fetching = pending();  // waits
    state.holds = 0;
    state.wanted = false;
  }
  try {
    drop_idle();
  } catch (const error&) {  // a card that has failed: its memory goes with the process
  }
  of_.gathered_ = false;
}

int64_t gathered_weights::others_size(int64_t segment) const {
  return of_.plan_->segment(segment).size() - of_.plan_->part(segment, of_.group_->rank()).size();
}

int64_t gathered_weights::most_values(const shard_plan& plan, int rank) {
  const auto others = [&](int64_t s) { return plan.segment(s).size() - plan.part(s, rank).size(); };
  int64_t most = 0;
  for (int64_t s = 0; s + 1 < plan.segments(); ++s) {
    most = std::max(most, others(s) + others(s + 1));
  }
  return plan.shard_size(rank) + most;
}

void gathered_weights::drop_idle() {
  for (size_t i = 0; i < segments_.size(); ++i) {
    segment_state& state = segments_[i];
    if (state.present && state.holds == 0 && !state.wanted) {
      state.present = false;
      of_.drop_others(static_cast<int64_t>(i));
      present_ -= others_size(static_cast<int64_t>(i));
    }
  }
}

/// What is not in use stays until something else is fetched, since the next pass may begin with it.
void gathered_weights::fetch(int64_t segment) {
  segment_state& state = segments_[static_cast<size_t>(segment)];
  if (state.present) {
    return;
  }
  drop_idle();
  const arena_range range = of_.plan_->segment(segment);
  of_.arena_.take(range.first, range.last);
  state.fetching = of_.arenas_->all_gather(of_.data() + range.first, range.size(), of_.plan_->offset_R1(segment),
                                           {.label = fmt::format("segment {}", segment)});
  state.present = true;
  present_ += others_size(segment);
  peak_ = std::max(peak_, present_);
}

void gathered_weights::prefetch(int64_t segment) {
  segments_[static_cast<size_t>(segment)].wanted = true;
  fetch(segment);
}

void gathered_weights::acquire(context&, int64_t segment) {
  segment_state& state = segments_[static_cast<size_t>(segment)];
  fetch(segment);
  state.fetching.wait();
  state.fetching = pending();
  state.wanted = false;
  ++state.holds;
}

void gathered_weights::release(int64_t segment) {
  segment_state& state = segments_[static_cast<size_t>(segment)];
  TROUPE_ASSERT(state.holds > 0);
  --state.holds;
}

void gathered_weights::hold_all(context& ctx) { acquire_all(ctx, *this, static_cast<int64_t>(segments_.size())); }

}  // namespace troupe::engine
