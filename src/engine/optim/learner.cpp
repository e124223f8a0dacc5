#include "engine/optim/learner.hpp"

#include "kernels/optimizer.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace troupe::engine {

namespace {

void check_settings(const learner_settings& settings, int ranks) {
  if (settings.lanes < 1 || !std::has_single_bit(static_cast<uint64_t>(settings.lanes))) {
    throw error(errc::bad_argument, "{} gradient lanes: the number is a power of two", settings.lanes);
  }
  if (settings.lanes > 1 && settings.lanes % ranks != 0) {
    throw error(errc::bad_argument, "{} gradient lanes cannot be dealt evenly to {} ranks (run.lanes)", settings.lanes,
                ranks);
  }
  if (settings.zero < 0 || settings.zero > 3) {
    throw error(errc::bad_argument, "there is no ZeRO stage {}: it is 0 to 3", settings.zero);
  }
  const adamw_settings& s = settings.adamw;
  const bool betas_fit = s.beta1 >= 0 && s.beta1 < 1 && s.beta2 >= 0 && s.beta2 < 1;
  if (!betas_fit || !(s.epsilon > 0) || !(s.weight_decay >= 0) || !(s.clip_norm >= 0)) {
    throw error(errc::bad_argument,
                "AdamW needs betas ({}, {}) in [0, 1), epsilon ({}) above 0, weight decay ({}) and "
                "clipping norm ({}) of at least 0",
                s.beta1, s.beta2, s.epsilon, s.weight_decay, s.clip_norm);
  }
}

int64_t lanes_for(const learner_settings& settings, int ranks) { return settings.lanes > 1 ? settings.lanes : ranks; }

/// One rank alone has nothing to shard.
int stage_for(const learner_settings& settings, int ranks) { return ranks > 1 ? settings.zero : 0; }

arena_range overlap(arena_range a, arena_range b) { return {std::max(a.first, b.first), std::min(a.last, b.last)}; }

std::span<float> floats(float* arena, arena_range range) {
  return {arena + range.first, static_cast<size_t>(range.size())};
}

}  // namespace

learner::learner(const parameter_layout& layout, std::span<const arena_range> segments,
                 const learner_settings& settings, communicator_ptr group)
    : plan_(std::make_shared<shard_plan>(layout, segments, group ? group->size() : 1)), group_(std::move(group)),
      settings_(settings.adamw), rank_(group_ ? group_->rank() : 0), ranks_(plan_->ranks()),
      zero_(stage_for(settings, ranks_)), lanes_(lanes_for(settings, ranks_)), own_lanes_(lanes_ / ranks_),
      to_reduce_(plan_->segments()), sums_(zero_ >= 2 ? plan_->shard_size(rank_) : plan_->arena_size(), own_lanes_),
      pending_(static_cast<size_t>(plan_->segments())) {
  check_settings(settings, ranks_);
  const int64_t moments = zero_ == 0 ? plan_->arena_size() : plan_->shard_size(rank_);
  first_moment_ = aligned_buffer<float>(moments);
  second_moment_ = aligned_buffer<float>(moments);
  for (const parameter& p : layout.all()) {
    // The gaps between parameters belong to the run before them: they are zero and stay zero.
    if (runs_.empty() || runs_.back().decays != p.decays) {
      runs_.push_back({{p.offset, 0}, p.decays});
    }
    runs_.back().range.last = p.offset + p.size;
  }
}

learner::learner(const transformer& net, const learner_settings& settings, communicator_ptr group)
    : learner(net.layout(), net.segments(), settings, std::move(group)) {}

learner::learner(const parameter_layout& layout, const adamw_settings& settings, int64_t lanes)
    : learner(layout, std::vector<arena_range>{{0, layout.arena_size()}}, {.adamw = settings, .lanes = lanes}) {}

int64_t learner::lane_of(int64_t micro_batch) const {
  const int64_t lane = micro_batch % lanes_;
  const int64_t owner = sharded_gradients() ? lane % ranks_ : lane / own_lanes_;
  if (owner != rank_) {
    throw error(errc::bad_argument, "micro-batch {} is rank {}'s, not rank {}'s: take those of learner::order",
                micro_batch, owner, rank_);
  }
  return sharded_gradients() ? lane / ranks_ : lane % own_lanes_;
}

std::vector<learner::step> learner::steps_for(int64_t n, int rank) const {
  std::vector<step> steps;
  for (int64_t own = 0; own < own_lanes_; ++own) {
    const int64_t lane = sharded_gradients() ? own * ranks_ + rank : rank * own_lanes_ + own;
    const int64_t fullest = sharded_gradients() ? own * ranks_ : lane;  // its ranks take as many steps as it needs
    for (int64_t j = lane, of_fullest = fullest; of_fullest < n; j += lanes_, of_fullest += lanes_) {
      steps.push_back({.micro_batch = j < n ? j : -1, .lane = own, .last = of_fullest + lanes_ >= n});
    }
  }
  if (!sharded_gradients()) {
    for (step& one : steps) {
      one.last = &one == &steps.back();
    }
  }
  return steps;
}

std::vector<int64_t> learner::order(int64_t n, int rank) const {
  std::vector<int64_t> micro_batches;
  for (const step& one : steps_for(n, rank)) {
    micro_batches.push_back(one.micro_batch);
  }
  return micro_batches;
}

void learner::begin(int64_t n) {
  if (begun_ || finished_ || sums_.lane() >= 0) {
    throw error(errc::bad_argument,
                "gradients of an update are begun while the last ones were neither used nor dropped");
  }
  steps_ = steps_for(n, rank_);
  step_ = 0;
  begun_ = true;
}

void learner::require_open(int64_t micro_batch) const {
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

float* learner::gradients(context& ctx, int64_t micro_batch) {
  require_open(micro_batch);
  const int64_t lane = lane_of(micro_batch);
  if (!sharded_gradients()) {
    return sums_.enter(ctx, lane);
  }
  return lane_arena();
}

float* learner::lane_arena() {
  if (transient_.size() == 0) {
    transient_ = paged_arena(plan_->arena_size());
  }
  return transient_.data();
}

std::function<void(int64_t)> learner::segment_done(context& ctx) {
  if (ranks_ == 1 || step_ >= steps_.size() || !steps_[step_].last) {
    return {};
  }
  return [this, &ctx](int64_t s) { reduce_segment(ctx, s); };
}

/// Sums of stages 0 and 1 are reduced where they stand; those of stage 2 go into the lane's shard.
void learner::reduce_segment(context& ctx, int64_t s) {
  const arena_range segment = plan_->segment(s);
  const arena_range part = plan_->part(s, rank_);
  to_reduce_ = s;
  const std::string label = fmt::format("segment {}", s);
  if (!sharded_gradients()) {
    float* whole = sums_.joined(ctx, segment.first, segment.size());
    joined_ = whole - segment.first;
    pending_[static_cast<size_t>(s)] = group_->reduce_scatter(
        {whole, static_cast<size_t>(segment.size())}, plan_->offset_R1(s),
        {whole + (part.first - segment.first), static_cast<size_t>(part.size())}, {.label = label});
    return;
  }
  if (shard_ == nullptr) {
    shard_ = sums_.enter(ctx, steps_[step_].lane);
  }
  const std::span<float> to(shard_ + plan_->shard_offset(s, rank_), static_cast<size_t>(part.size()));
  pending_[static_cast<size_t>(s)] =
      group_->reduce_scatter(floats(lane_arena(), segment), plan_->offset_R1(s), to, {.label = label});
  constexpr int64_t in_flight = 1;  // beside the segment that is being computed
  await_segment(s + in_flight);
}

void learner::await_segment(int64_t s) {
  if (s >= plan_->segments()) {
    return;
  }
  pending_[static_cast<size_t>(s)].wait();
  pending_[static_cast<size_t>(s)] = pending();
  if (sharded_gradients()) {
    transient_.release(plan_->segment(s).first, plan_->segment(s).last);
  }
}

void learner::await_all() {
  for (int64_t s = plan_->segments() - 1; s >= 0; --s) {
    await_segment(s);
  }
}

void learner::reduce_rest(context& ctx) {
  while (to_reduce_ > 0) {
    reduce_segment(ctx, to_reduce_ - 1);
  }
}

void learner::end_step(context& ctx) {
  if (step_ >= steps_.size()) {
    throw error(errc::bad_argument, "the accumulation has {} steps on rank {}: none is left to end", steps_.size(),
                rank_);
  }
  if (ranks_ > 1 && steps_[step_].last) {
    reduce_rest(ctx);
    if (sharded_gradients()) {
      await_all();
      shard_ = nullptr;
      to_reduce_ = plan_->segments();
    }
  }
  ++step_;
}

void learner::finish(context& ctx) {
  if (finished_) {
    return;
  }
  if (step_ < steps_.size() && ranks_ > 1) {
    throw error(errc::bad_argument, "{} of {} steps of the accumulation were taken on rank {}", step_, steps_.size(),
                rank_);
  }
  finished_ = true;
  if (ranks_ > 1 && !sharded_gradients()) {
    reduce_rest(ctx);
  } else {
    joined_ = sums_.joined(ctx, 0, sums_.size());
  }
}

void learner::discard() {
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

/// Where this rank's part of segment s begins in a buffer of the size of sums_.
int64_t learner::part_offset(int64_t s) const {
  return sharded_gradients() ? plan_->shard_offset(s, rank_) : plan_->part(s, rank_).first;
}

void learner::gather(float* arena) {
  if (ranks_ == 1) {
    return;
  }
  for (int64_t s = 0; s < plan_->segments(); ++s) {
    pending_[static_cast<size_t>(s)] = group_->all_gather(floats(arena, plan_->segment(s)), plan_->offset_R1(s),
                                                          {.label = fmt::format("segment {}", s)});
  }
  await_all();
}

/// Sums of squares of all units from those of each rank's parts.
std::vector<double> learner::gather_units(const std::vector<double>& mine) {
  if (ranks_ == 1) {
    return mine;
  }
  const auto by_rank = gather_bytes(*group_, std::as_bytes(std::span(mine)), {.label = "norms"});
  std::vector<size_t> taken(by_rank.size());
  std::vector<double> all;
  for (int64_t s = 0; s < plan_->segments(); ++s) {
    for (size_t r = 0; r < by_rank.size(); ++r) {
      const auto count = static_cast<size_t>(plan_->units_of(s, static_cast<int>(r)).size());
      const size_t bytes = count * sizeof(double);
      if (taken[r] + bytes > by_rank[r].size()) {
        throw error(errc::lost_peer, "rank {} sent {} bytes of the gradient's norm, too few", r, by_rank[r].size());
      }
      all.resize(all.size() + count);
      std::memcpy(all.data() + all.size() - count, by_rank[r].data() + taken[r], bytes);
      taken[r] += bytes;
    }
  }
  return all;
}

double learner::norm(context& ctx) {
  std::vector<double> mine;
  std::vector<int64_t> offset_P1;
  for (int64_t s = 0; s < plan_->segments(); ++s) {
    const arena_range part = plan_->part(s, rank_);
    const arena_range units = plan_->units_of(s, rank_);
    offset_P1.assign(1, 0);
    for (int64_t u = units.first; u < units.last; ++u) {
      offset_P1.push_back(plan_->units()[static_cast<size_t>(u)].last - part.first);
    }
    const size_t before = mine.size();
    mine.resize(before + static_cast<size_t>(units.size()));
    kernels::sums_of_squares(ctx, joined_ + part_offset(s), offset_P1, std::span(mine).subspan(before));
  }
  double sum = 0;
  for (const double one : gather_units(mine)) {
    sum += one;
  }
  return std::sqrt(sum);
}

/// AdamW on a range of the arena; the gradient's and moments' pointers are those of its first float.
void learner::step_range(context& ctx, arena_range range, const float* gradient, int64_t moment,
                         const step_scale& scale, float* weights) {
  for (const decay_run& run : runs_) {
    const arena_range both = overlap(run.range, range);
    if (both.size() <= 0) {
      continue;
    }
    const int64_t from = both.first - range.first;
    kernels::adamw_args args;
    args.weight = weights + both.first;
    args.first_moment = first_moment_.data() + moment + from;
    args.second_moment = second_moment_.data() + moment + from;
    args.gradient = gradient + from;
    args.count = both.size();
    args.learning_rate = static_cast<float>(scale.learning_rate);
    args.beta1 = static_cast<float>(settings_.beta1);
    args.beta2 = static_cast<float>(settings_.beta2);
    args.epsilon = static_cast<float>(settings_.epsilon);
    args.weight_decay = run.decays ? static_cast<float>(settings_.weight_decay) : 0.0F;
    args.gradient_scale = static_cast<float>(scale.gradient);
    args.step = updates_ + 1;
    kernels::adamw_update(ctx, args);
  }
}

void learner::step_weights(context& ctx, const step_scale& scale, float* weights) {
  for (int64_t s = 0; s < plan_->segments(); ++s) {
    if (whole_moments()) {
      const arena_range segment = plan_->segment(s);
      step_range(ctx, segment, joined_ + segment.first, segment.first, scale, weights);
    } else {
      const float* gradient = joined_ + part_offset(s);
      step_range(ctx, plan_->part(s, rank_), gradient, plan_->shard_offset(s, rank_), scale, weights);
    }
  }
  if (!whole_moments() && !sharded_weights()) {
    gather(weights);
  }
}

update_report learner::update(context& ctx, float* weights, double learning_rate) {
  finish(ctx);
  await_all();
  if (ranks_ > 1 && whole_moments()) {
    gather(joined_);
  }
  const double gradient_norm = norm(ctx);
  if (!std::isfinite(gradient_norm)) {
    discard();
    throw error(errc::not_finite,
                "the gradient norm of update {} is {}: the weights are as before it; lower the "
                "learning rate, or look at the batch",
                updates_ + 1, gradient_norm);
  }
  const double clip = settings_.clip_norm > 0 ? std::min(1.0, settings_.clip_norm / (gradient_norm + 1e-6)) : 1.0;
  step_weights(ctx, {.learning_rate = learning_rate, .gradient = clip}, weights);
  discard();
  ++updates_;
  return {updates_, gradient_norm, learning_rate};
}

int64_t learner::bytes(int64_t micro_batches) const {
  return learner_bytes(*plan_, rank_, {.adamw = settings_, .lanes = lanes_, .zero = zero_}, micro_batches);
}

/// Of the segments that are in memory while lanes have one micro-batch each: the first, onto which a tied head's gradient
/// goes before all others, the one that is computed and the one that is reduced meanwhile.
static int64_t transient_floats(const shard_plan& plan) {
  int64_t most = 0;
  for (int64_t s = 1; s + 1 < plan.segments(); ++s) {
    most = std::max(most, plan.segment(s).size() + plan.segment(s + 1).size());
  }
  return std::min(plan.arena_size(), plan.segment(0).size() + most);
}

int64_t learner_bytes(const shard_plan& plan, int rank, const learner_settings& settings, int64_t micro_batches) {
  const int64_t ranks = plan.ranks();
  const int zero = stage_for(settings, plan.ranks());
  const int64_t lanes = lanes_for(settings, plan.ranks());
  const int64_t visited = zero >= 2 ? (micro_batches + ranks - 1) / ranks : micro_batches;
  const int64_t sums = lane_sums::buffers_for(std::clamp<int64_t>(visited, 1, std::max<int64_t>(1, lanes / ranks)));
  const int64_t arena = plan.arena_size();
  const int64_t shard = plan.shard_size(rank);
  int64_t floats = sums * (zero >= 2 ? shard : arena) + 2 * (zero == 0 ? arena : shard);
  if (zero >= 2) {
    floats += micro_batches <= lanes ? transient_floats(plan) : arena;
  }
  return floats * static_cast<int64_t>(sizeof(float));
}

}  // namespace troupe::engine
