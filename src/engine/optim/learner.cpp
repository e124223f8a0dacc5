#include "engine/optim/learner.hpp"

#include "base/assert.hpp"
#include "base/error.hpp"
#include "engine/models/inference_model.hpp"
#include "engine/parallel/between_cards.hpp"
#include "kernels/optimizer.hpp"
#include "kernels/rows.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace troupe::engine {

namespace {

/// Of settings that can be kept.
learner_settings checked(const learner_settings& settings) {
  if (settings.zero < 0 || settings.zero > 3) {
    throw error(errc::bad_argument, "there is no ZeRO stage {}: it is 0 to 3", settings.zero);
  }
  const adamw_settings& s = settings.adamw;
  const bool betas_fit = s.beta1 >= 0 && s.beta1 < 1 && s.beta2 >= 0 && s.beta2 < 1;
  if (!betas_fit || !(s.epsilon > 0) || !(s.weight_decay >= 0) || !(s.clip_norm >= 0)) {
    throw error(errc::bad_argument,
                "AdamW needs betas ({}, {}) in [0, 1), epsilon ({}) above 0, weight decay ({}) and clipping norm ({}) "
                "of at least 0",
                s.beta1, s.beta2, s.epsilon, s.weight_decay, s.clip_norm);
  }
  return settings;
}

/// One rank alone has nothing to shard.
learner_settings settings_for(learner_settings settings, int ranks) {
  settings.zero = ranks > 1 ? settings.zero : 0;
  return settings;
}

sums_division division_of(const learner_settings& settings) {
  return {.lanes = settings.lanes, .sharded = settings.zero >= 2};
}

int64_t moment_floats(const shard_plan& plan, int rank, const learner_settings& settings) {
  return settings.zero == 0 ? plan.arena_size() : plan.shard_size(rank);
}

paged_arena moments(const shard_plan& plan, int rank, const learner_settings& settings, const learner_place& at) {
  paged_arena zeros(moment_floats(plan, rank, settings), dtype::f32, {at.on, at.model + " moments"});
  zeros.take(0, zeros.size());
  return zeros;
}

arena_range overlap(arena_range a, arena_range b) { return {std::max(a.first, b.first), std::min(a.last, b.last)}; }

}  // namespace

learner::learner(const parameter_layout& layout, std::span<const arena_range> segments,
                 const learner_settings& settings, communicator_ptr group, const learner_place& at)
    : plan_(std::make_shared<shard_plan>(layout, segments, group ? group->size() : 1)), group_(std::move(group)),
      arenas_(between_cards(group_, at.on)), rank_(group_ ? group_->rank() : 0), ranks_(plan_->ranks()),
      settings_(settings_for(checked(settings), ranks_)), first_moment_(moments(*plan_, rank_, settings_, at)),
      second_moment_(moments(*plan_, rank_, settings_, at)),
      sums_(plan_, arenas_, division_of(settings_), {at.on, at.model + " gradients"}) {
  for (const parameter& p : layout.all()) {
    // The gaps between parameters belong to the run before them: they are zero and stay zero.
    if (runs_.empty() || runs_.back().decays != p.decays()) {
      runs_.push_back({{p.offset, 0}, p.decays()});
    }
    runs_.back().range.last = p.offset + p.size;
  }
}

learner::learner(const inference_model& net, const learner_settings& settings, communicator_ptr group,
                 const learner_place& at)
    : learner(net.layout(), net.segments(), settings, std::move(group), at) {}

learner::learner(const parameter_layout& layout, const adamw_settings& settings, int64_t lanes)
    : learner(layout, layout.segments(), {.adamw = settings, .lanes = lanes}) {}

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
    const auto inputs_P =
        plan_->unit_inputs().subspan(static_cast<size_t>(units.first), static_cast<size_t>(units.size()));
    kernels::sums_of_squares(ctx, sums_.part(s), offset_P1, std::span(mine).subspan(before), inputs_P);
  }
  double sum = 0;
  for (const double squares : gather_units(mine)) {
    sum += squares;
  }
  return std::sqrt(sum);
}

/// AdamW on a range of the arena; the gradient's and moments' pointers are those of its first float.
void learner::step_range(context& ctx, arena_range range, const float* gradient, int64_t moment,
                         const step_scale& scale, float* weights, reals rounded) {
  for (const decay_run& run : runs_) {
    const arena_range both = overlap(run.range, range);
    if (both.size() <= 0) {
      continue;
    }
    const int64_t from = both.first - range.first;
    kernels::adamw_args args;
    args.weight = weights + both.first;
    args.compute = rounded == nullptr ? rounded : rounded + both.first;
    args.first_moment = first_moment_.data() + (moment + from);
    args.second_moment = second_moment_.data() + (moment + from);
    args.gradient = gradient + from;
    args.count = both.size();
    args.learning_rate = static_cast<float>(scale.learning_rate);
    args.beta1 = static_cast<float>(settings_.adamw.beta1);
    args.beta2 = static_cast<float>(settings_.adamw.beta2);
    args.epsilon = static_cast<float>(settings_.adamw.epsilon);
    args.weight_decay = run.decays ? static_cast<float>(settings_.adamw.weight_decay) : 0.0F;
    args.gradient_scale = static_cast<float>(scale.gradient);
    args.step = updates_ + 1;
    kernels::adamw_update(ctx, args);
  }
}

/// whole_sums: where moments are whole.
void learner::step_weights(context& ctx, const float* whole_sums, const step_scale& scale, float* weights,
                           reals rounded) {
  for (int64_t s = 0; s < plan_->segments(); ++s) {
    if (whole_moments()) {
      const arena_range segment = plan_->segment(s);
      step_range(ctx, segment, whole_sums + segment.first, segment.first, scale, weights, rounded);
    } else {
      step_range(ctx, plan_->part(s, rank_), sums_.part(s), plan_->shard_offset(s, rank_), scale, weights, rounded);
    }
  }
  share_weights(rounded == nullptr ? reals(weights) : rounded);
}

void learner::gather(reals arena) {
  if (ranks_ > 1) {
    gather_parts(*arenas_, *plan_, arena);
  }
}

/// Of what passes read, each rank has made its own parts in stages 1 and 2.
void learner::share_weights(reals weights) {
  if (!whole_moments() && !sharded_weights()) {
    gather(weights);
  }
}

void learner::round(context& ctx, const float* weights, reals rounded) {
  constexpr int64_t width = 4096;  // of a row: a card's threads divide rows
  for (int64_t s = 0; s < plan_->segments(); ++s) {
    const arena_range range = whole_moments() ? plan_->segment(s) : plan_->part(s, rank_);
    const int64_t rows = range.size() / width;
    const int64_t rest = range.first + rows * width;
    kernels::copy_rows(ctx, {.to = rounded + range.first, .from = weights + range.first, .n = rows, .width = width});
    kernels::copy_rows(ctx, {.to = rounded + rest, .from = weights + rest, .n = 1, .width = range.last - rest});
  }
  share_weights(rounded);
}

update_report learner::update(context& ctx, float* weights, double learning_rate, reals rounded) {
  TROUPE_ASSERT(ctx.on == first_moment_.on());
  sums_.complete(ctx);
  const float* whole_sums = whole_moments() ? sums_.gather_whole() : nullptr;
  const double gradient_norm = norm(ctx);
  if (!std::isfinite(gradient_norm)) {
    discard();
    throw error(
        errc::not_finite,
        "the gradient norm of update {} is {}: the weights are as before it; lower the learning rate, or look at the "
        "batch",
        updates_ + 1, gradient_norm);
  }
  const double most = settings_.adamw.clip_norm;
  const double clip = most > 0 ? std::min(1.0, most / (gradient_norm + 1e-6)) : 1.0;
  step_weights(ctx, whole_sums, {.learning_rate = learning_rate, .gradient = clip}, weights, rounded);
  discard();
  ++updates_;
  return {updates_, gradient_norm, learning_rate};
}

int64_t learner::bytes(int64_t micro_batches) const {
  const learner_memory held = learner_memory_of(*plan_, rank_, settings_, micro_batches);
  return held.sum_bytes + held.moment_bytes + held.transient_bytes;
}

learner_memory learner_memory_of(const shard_plan& plan, int rank, const learner_settings& settings,
                                 int64_t micro_batches) {
  constexpr int64_t float_bytes = sizeof(float);
  const learner_settings own = settings_for(settings, plan.ranks());
  const auto sums = gradient_sums::memory_of(plan, rank, division_of(own), micro_batches);
  return {.sum_bytes = sums.sums * float_bytes,
          .moment_bytes = 2 * moment_floats(plan, rank, own) * float_bytes,
          .transient_bytes = sums.transient * float_bytes,
          .arriving_bytes = sums.arriving * float_bytes};
}

}  // namespace troupe::engine
