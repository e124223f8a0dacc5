// The lanes' sums form a stack like the digits of a binary counter: closing lane l joins as many
// equal-sized sums as l has trailing one bits. The last entry of sums_ is the open lane's.
#include "engine/optim/learner.hpp"

#include "kernels/activation.hpp"
#include "kernels/optimizer.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace troupe::engine {

namespace {

void check_settings(const adamw_settings& s, int64_t lanes) {
  if (lanes < 1 || !std::has_single_bit(static_cast<uint64_t>(lanes))) {
    throw error(errc::bad_argument, "{} gradient lanes: the number is a power of two", lanes);
  }
  const bool betas_fit = s.beta1 >= 0 && s.beta1 < 1 && s.beta2 >= 0 && s.beta2 < 1;
  if (!betas_fit || !(s.epsilon > 0) || !(s.weight_decay >= 0) || !(s.clip_norm >= 0)) {
    throw error(errc::bad_argument,
                "AdamW needs betas ({}, {}) in [0, 1), epsilon ({}) above 0, weight decay ({}) and "
                "clipping norm ({}) of at least 0",
                s.beta1, s.beta2, s.epsilon, s.weight_decay, s.clip_norm);
  }
}

}  // namespace

learner::learner(const parameter_layout& layout, const adamw_settings& settings, int64_t lanes)
    : settings_(settings), lanes_(lanes), arena_size_(layout.arena_size()), first_moment_(layout.arena_size()),
      second_moment_(layout.arena_size()) {
  check_settings(settings, lanes);
  for (const parameter& p : layout.all()) {
    // The gaps between parameters belong to the run before them: they are zero and stay zero.
    if (runs_.empty() || runs_.back().decays != p.decays) {
      runs_.push_back({p.offset, 0, p.decays});
    }
    runs_.back().count = p.offset + p.size - runs_.back().first;
  }
}

std::vector<int64_t> learner::order(int64_t n) const {
  std::vector<int64_t> micro_batches;
  for (int64_t lane = 0; lane < lanes_; ++lane) {
    for (int64_t j = lane; j < n; j += lanes_) {
      micro_batches.push_back(j);
    }
  }
  return micro_batches;
}

int64_t learner::take_arena() {
  if (free_arenas_.empty()) {
    arenas_.emplace_back(arena_size_);
    return static_cast<int64_t>(arenas_.size()) - 1;
  }
  const int64_t arena = free_arenas_.back();
  free_arenas_.pop_back();
  return arena;
}

learner::lane_sum learner::join(context& ctx, const lane_sum& left, const lane_sum& right) {
  lane_sum sum{left.level + 1, left.arena};
  if (left.arena < 0) {
    sum.arena = right.arena;
  } else if (right.arena >= 0) {
    aligned_buffer<float>& onto = arenas_[static_cast<size_t>(left.arena)];
    aligned_buffer<float>& from = arenas_[static_cast<size_t>(right.arena)];
    kernels::add_in_place(ctx, onto.data(), from.data(), arena_size_);
    std::memset(from.data(), 0, static_cast<size_t>(arena_size_) * sizeof(float));
    free_arenas_.push_back(right.arena);
  }
  return sum;
}

void learner::close_lane(context& ctx) {
  while (sums_.size() > 1 && sums_.back().level == sums_[sums_.size() - 2].level) {
    const lane_sum right = sums_.back();
    sums_.pop_back();
    sums_.back() = join(ctx, sums_.back(), right);
  }
}

void learner::enter_lane(context& ctx, int64_t lane) {
  if (lane < lane_) {
    throw error(errc::bad_argument,
                "lane {} of the gradients is closed, lane {} is being summed: take the "
                "micro-batches in learner::order",
                lane, lane_);
  }
  while (lane_ < lane) {
    close_lane(ctx);
    sums_.push_back({});
    ++lane_;
  }
}

float* learner::gradients(context& ctx, int64_t micro_batch) {
  if (micro_batch < 0) {
    throw error(errc::bad_argument, "micro-batch {}: they count from 0", micro_batch);
  }
  enter_lane(ctx, micro_batch % lanes_);
  if (sums_.back().level > 0) {
    throw error(errc::bad_argument, "micro-batch {} came after the lanes were joined", micro_batch);
  }
  if (sums_.back().arena < 0) {
    sums_.back().arena = take_arena();
  }
  return arenas_[static_cast<size_t>(sums_.back().arena)].data();
}

float* learner::joined(context& ctx) {
  enter_lane(ctx, lanes_ - 1);
  close_lane(ctx);
  if (sums_.back().arena < 0) {
    sums_.back().arena = take_arena();
  }
  return arenas_[static_cast<size_t>(sums_.back().arena)].data();
}

void learner::discard() {
  for (const lane_sum& sum : sums_) {
    if (sum.arena >= 0) {
      std::memset(arenas_[static_cast<size_t>(sum.arena)].data(), 0, static_cast<size_t>(arena_size_) * sizeof(float));
      free_arenas_.push_back(sum.arena);
    }
  }
  sums_.clear();
  lane_ = -1;
}

void learner::step_groups(context& ctx, float* weights, double learning_rate, double scale) {
  const float* gradients = joined(ctx);
  for (const decay_run& run : runs_) {
    kernels::adamw_args args;
    args.weight = weights + run.first;
    args.first_moment = first_moment_.data() + run.first;
    args.second_moment = second_moment_.data() + run.first;
    args.gradient = gradients + run.first;
    args.count = run.count;
    args.learning_rate = static_cast<float>(learning_rate);
    args.beta1 = static_cast<float>(settings_.beta1);
    args.beta2 = static_cast<float>(settings_.beta2);
    args.epsilon = static_cast<float>(settings_.epsilon);
    args.weight_decay = run.decays ? static_cast<float>(settings_.weight_decay) : 0.0F;
    args.gradient_scale = static_cast<float>(scale);
    args.step = updates_ + 1;
    kernels::adamw_update(ctx, args);
  }
}

update_report learner::update(context& ctx, float* weights, double learning_rate) {
  const double norm = std::sqrt(kernels::sum_of_squares(ctx, joined(ctx), arena_size_));
  if (!std::isfinite(norm)) {
    discard();
    throw error(errc::not_finite,
                "the gradient norm of update {} is {}: the weights are as before it; lower the "
                "learning rate, or look at the batch",
                updates_ + 1, norm);
  }
  const double scale = settings_.clip_norm > 0 ? std::min(1.0, settings_.clip_norm / (norm + 1e-6)) : 1.0;
  step_groups(ctx, weights, learning_rate, scale);
  discard();
  ++updates_;
  return {updates_, norm, learning_rate};
}

int64_t learner::bytes(int64_t micro_batches) const {
  const auto lanes_used = static_cast<uint64_t>(std::clamp<int64_t>(micro_batches, 1, lanes_));
  // The open lane, and one sum per bit of the lanes before it: the most is seen in the last lane of
  // a power of two.
  const int64_t arenas = 1 + static_cast<int64_t>(std::bit_width(lanes_used) - 1);
  return (arenas + 2) * arena_size_ * static_cast<int64_t>(sizeof(float));
}

}  // namespace troupe::engine
