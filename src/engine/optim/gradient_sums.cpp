#include "engine/optim/gradient_sums.hpp"

#include "base/error.hpp"
#include "base/round_up.hpp"

#include <algorithm>
#include <bit>
#include <iterator>
#include <numeric>
#include <span>
#include <string>
#include <utility>

namespace troupe::engine {

namespace {

/// Segments that are reduced while the one before them is computed.
constexpr int64_t reduced_meanwhile = 1;

int64_t lanes_for(int64_t lanes, int64_t ranks) { return lanes > 1 ? lanes : ranks; }

int64_t checked_lanes(int64_t lanes, int ranks) {
  if (lanes < 1 || !std::has_single_bit(static_cast<uint64_t>(lanes))) {
    throw error(errc::bad_argument, "{} gradient lanes: the number is a power of two", lanes);
  }
  if (lanes > 1 && lanes % ranks != 0) {
    throw error(errc::bad_argument, "{} gradient lanes cannot be dealt evenly to {} ranks (run.lanes)", lanes, ranks);
  }
  return lanes_for(lanes, ranks);
}

std::span<float> floats(float* arena, arena_range range) {
  return {arena + range.first, static_cast<size_t>(range.size())};
}

/// Segments whose reductions are under way at a time, where they take the most: all of them; or, where each is reduced
/// while the one before it is computed, two neighbours.
std::vector<int64_t> reduced_at_a_time(const shard_plan& plan, int rank, bool sharded) {
  std::vector<int64_t> all(static_cast<size_t>(plan.segments()));
  std::iota(all.begin(), all.end(), 0);
  if (!sharded || all.size() < 3) {
    return all;
  }
  const auto with_next = [&](int64_t s) { return plan.part(s, rank).size() + plan.part(s + 1, rank).size(); };
  const int64_t most = *std::max_element(all.begin(), std::prev(all.end()),
                                         [&](int64_t a, int64_t b) { return with_next(a) < with_next(b); });
  return {most, most + 1};
}

std::string label_of(int64_t segment) { return fmt::format("segment {}", segment); }

}  // namespace

gradient_sums::gradient_sums(shard_plan_ptr plan, communicator_ptr group, const sums_division& division,
                             const arena_place& at)
    : plan_(std::move(plan)), group_(std::move(group)), rank_(group_ ? group_->rank() : 0), ranks_(plan_->ranks()),
      sharded_(division.sharded && ranks_ > 1), lanes_(checked_lanes(division.lanes, ranks_)),
      own_lanes_(lanes_ / ranks_), place_(at), to_reduce_(plan_->segments()),
      sums_(sharded_ ? plan_->shard_size(rank_) : plan_->arena_size(), own_lanes_, at),
      pending_(static_cast<size_t>(plan_->segments())) {}

int64_t gradient_sums::lane_of(int64_t micro_batch) const {
  const int64_t lane = micro_batch % lanes_;
  const int64_t owner = sharded_ ? lane % ranks_ : lane / own_lanes_;
  if (owner != rank_) {
    throw error(errc::bad_argument, "micro-batch {} is rank {}'s, not rank {}'s: take those of learner::order",
                micro_batch, owner, rank_);
  }
  return sharded_ ? lane / ranks_ : lane % own_lanes_;
}

std::vector<gradient_sums::step> gradient_sums::steps_for(int64_t n, int rank) const {
  std::vector<step> steps;
  for (int64_t own = 0; own < own_lanes_; ++own) {
    const int64_t lane = sharded_ ? own * ranks_ + rank : rank * own_lanes_ + own;
    const int64_t fullest = sharded_ ? own * ranks_ : lane;  // its ranks take as many steps as it needs
    for (int64_t j = lane, of_fullest = fullest; of_fullest < n; j += lanes_, of_fullest += lanes_) {
      steps.push_back({.micro_batch = j < n ? j : -1, .lane = own, .last = of_fullest + lanes_ >= n});
    }
  }
  if (!sharded_) {
    for (step& each : steps) {
      each.last = &each == &steps.back();
    }
  }
  return steps;
}

std::vector<int64_t> gradient_sums::order(int64_t n, int rank) const {
  std::vector<int64_t> micro_batches;
  for (const step& each : steps_for(n, rank)) {
    micro_batches.push_back(each.micro_batch);
  }
  return micro_batches;
}

void gradient_sums::begin(int64_t n) {
  if (begun_ || finished_ || sums_.lane() >= 0) {
    throw error(errc::bad_argument,
                "gradients of an update are begun while the last ones were neither used nor dropped");
  }
  steps_ = steps_for(n, rank_);
  step_ = 0;
  begun_ = true;
}

void gradient_sums::take_memory() {
  int64_t visited = 0;
  for (int64_t lane = -1; const step& each : steps_) {
    visited += each.lane != std::exchange(lane, each.lane) ? 1 : 0;
  }
  sums_.hold(lane_sums::buffers_for(visited));
  if (sharded_ && !steps_.empty()) {
    lane_arena();
    take_for_pass();
  }
  if (ranks_ > 1) {
    std::vector<std::span<const int64_t>> reduced;
    for (const int64_t s : reduced_at_a_time(*plan_, rank_, sharded_)) {
      reduced.push_back(plan_->offset_R1(s));
    }
    group_->make_room(reduced);
  }
}

void gradient_sums::require_open(int64_t micro_batch) const {
  if (micro_batch < 0) {
    throw error(errc::bad_argument, "micro-batch {}: they count from 0", micro_batch);
  }
  if (finished_) {
    throw error(errc::bad_argument, "micro-batch {} came after the lanes were joined", micro_batch);
  }
  const bool expected = step_ < steps_.size() && steps_[step_].micro_batch == micro_batch;
  if (ranks_ > 1 && (!begun_ || !expected)) {
    throw error(errc::bad_argument, "micro-batch {} is not this rank's next: begin, then take those of learner::order",
                micro_batch);
  }
}

float* gradient_sums::summed_onto(context& ctx, int64_t micro_batch) {
  require_open(micro_batch);
  const int64_t lane = lane_of(micro_batch);
  if (!sharded_) {
    return sums_.enter(ctx, lane);
  }
  float* const arena = lane_arena();
  take_for_pass();
  return arena;
}

float* gradient_sums::lane_arena() {
  if (transient_.size() == 0) {
    transient_ = paged_arena(plan_->arena_size(), dtype::f32, place_);
  }
  return transient_.data();
}

/// What is reduced while it is computed comes by segments.
void gradient_sums::take_for_pass() {
  if (!steps_[step_].last) {
    transient_.take(0, transient_.size());
    return;
  }
  take_segment(0);
  take_segment(plan_->segments() - 1);
}

void gradient_sums::take_segment(int64_t s) {
  if (s >= 0) {
    transient_.take(plan_->segment(s).first, plan_->segment(s).last);
  }
}

std::function<void(int64_t)> gradient_sums::segment_done(context& ctx) {
  if (ranks_ == 1 || step_ >= steps_.size() || !steps_[step_].last) {
    return {};
  }
  return [this, &ctx](int64_t s) { reduce_segment(ctx, s); };
}

bool gradient_sums::lane_ends() const {
  return step_ + 1 >= steps_.size() || steps_[step_ + 1].lane != steps_[step_].lane;
}

void gradient_sums::reduce_segment(context& ctx, int64_t s) {
  to_reduce_ = s;
  if (sharded_) {
    reduce_to_shard(ctx, s);
  } else {
    reduce_whole(ctx, s);
  }
}

/// Where the lanes' sum stands.
void gradient_sums::reduce_whole(context& ctx, int64_t s) {
  const arena_range segment = plan_->segment(s);
  const arena_range part = plan_->part(s, rank_);
  float* whole = sums_.joined(ctx, segment.first, segment.size());
  joined_ = whole - segment.first;
  pending_[static_cast<size_t>(s)] = group_->reduce_scatter(
      {whole, static_cast<size_t>(segment.size())}, plan_->offset_R1(s),
      {whole + (part.first - segment.first), static_cast<size_t>(part.size())}, {.label = label_of(s)});
}

/// From where the lane was summed into its shard.
void gradient_sums::reduce_to_shard(context& ctx, int64_t s) {
  if (shard_ == nullptr) {
    shard_ = sums_.enter(ctx, steps_[step_].lane);
  }
  const std::span<float> to(shard_ + plan_->shard_offset(s, rank_), static_cast<size_t>(plan_->part(s, rank_).size()));
  const std::span<float> whole = floats(lane_arena(), plan_->segment(s));
  take_segment(s);  // who computed nothing gives zeros
  pending_[static_cast<size_t>(s)] = group_->reduce_scatter(whole, plan_->offset_R1(s), to, {.label = label_of(s)});
  await_segment(s + reduced_meanwhile);
  take_segment(s - 1);
}

void gradient_sums::await_segment(int64_t s) {
  if (s >= plan_->segments()) {
    return;
  }
  pending_[static_cast<size_t>(s)].wait();
  pending_[static_cast<size_t>(s)] = pending();
  if (sharded_) {
    transient_.release(plan_->segment(s).first, plan_->segment(s).last);
  }
}

void gradient_sums::await_all() {
  for (int64_t s = plan_->segments() - 1; s >= 0; --s) {
    await_segment(s);
  }
}

void gradient_sums::reduce_rest(context& ctx) {
  while (to_reduce_ > 0) {
    reduce_segment(ctx, to_reduce_ - 1);
  }
}

void gradient_sums::end_step(context& ctx) {
  if (step_ >= steps_.size()) {
    throw error(errc::bad_argument, "the accumulation has {} steps on rank {}: none is left to end", steps_.size(),
                rank_);
  }
  if (ranks_ > 1 && steps_[step_].last) {
    reduce_rest(ctx);
    if (sharded_) {
      await_all();
      shard_ = nullptr;
      to_reduce_ = plan_->segments();
    }
  }
  ++step_;
}

void gradient_sums::finish(context& ctx) {
  if (finished_) {
    return;
  }
  if (step_ < steps_.size() && ranks_ > 1) {
    throw error(errc::bad_argument, "{} of {} steps of the accumulation were taken on rank {}", step_, steps_.size(),
                rank_);
  }
  finished_ = true;
  if (ranks_ > 1 && !sharded_) {
    reduce_rest(ctx);
  } else {
    joined_ = sums_.joined(ctx, 0, sums_.size());
  }
}

void gradient_sums::complete(context& ctx) {
  finish(ctx);
  await_all();
}

const float* gradient_sums::part(int64_t s) const {
  return joined_ + (sharded_ ? plan_->shard_offset(s, rank_) : plan_->part(s, rank_).first);
}

const float* gradient_sums::gather_whole() {
  if (ranks_ > 1) {
    gather_parts(*group_, *plan_, joined_);
  }
  return joined_;
}

void gradient_sums::discard() {
  await_all();
  sums_.clear();
  transient_.release(0, transient_.size());
  joined_ = nullptr;
  steps_.clear();
  step_ = 0;
  begun_ = finished_ = false;
  shard_ = nullptr;
  to_reduce_ = plan_->segments();
}

/// Of the segments that are in memory while lanes have one micro-batch each: the first, onto which a tied head's
/// gradient goes before all others, the one that is computed and the one that is reduced meanwhile.
static int64_t transient_floats(const shard_plan& plan) {
  int64_t most = 0;
  for (int64_t s = 1; s + 1 < plan.segments(); ++s) {
    most = std::max(most, plan.segment(s).size() + plan.segment(s + 1).size());
  }
  return std::min(plan.arena_size(), plan.segment(0).size() + most);
}

gradient_sums::memory gradient_sums::memory_of(const shard_plan& plan, int rank, const sums_division& division,
                                               int64_t micro_batches) {
  const int64_t ranks = plan.ranks();
  const bool sharded = division.sharded && ranks > 1;
  const int64_t visited = sharded ? divide_up(micro_batches, ranks) : micro_batches;
  const int64_t lanes = lanes_for(division.lanes, ranks);
  const int64_t own_lanes = std::max<int64_t>(1, lanes / ranks);
  const int64_t buffers = lane_sums::buffers_for(std::clamp<int64_t>(visited, 1, own_lanes));
  memory held{.sums = buffers * (sharded ? plan.shard_size(rank) : plan.arena_size())};
  for (const int64_t s : reduced_at_a_time(plan, rank, sharded)) {
    held.arriving += plan.part(s, rank).size() * (ranks - 1);
  }
  if (sharded) {
    held.transient = micro_batches <= lanes ? transient_floats(plan) : plan.arena_size();
  }
  return held;
}

void gather_parts(communicator& group, const shard_plan& plan, reals arena) {
  std::vector<pending> under_way;
  for (int64_t s = 0; s < plan.segments(); ++s) {
    const arena_range segment = plan.segment(s);
    under_way.push_back(
        group.all_gather(arena + segment.first, segment.size(), plan.offset_R1(s), {.label = label_of(s)}));
  }
  for (pending& each : under_way) {
    each.wait();
  }
}

}  // namespace troupe::engine
