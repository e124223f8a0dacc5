/// PPO's loss of the critic and its gradient per value.
///   clipped = clip(V, V_old - clip, V_old + clip);   loss = 0.5 sum_a w_a max((V - R)^2, (clipped - R)^2)
/// The weights are answer_weights of policy_loss.hpp.
/// Source  Schulman et al., baselines; DeepSpeed-Chat's critic_loss_fn.
#pragma once

#include "engine/objectives/moments.hpp"

#include <cstdint>
#include <span>

namespace troupe::engine {

struct value_settings {
  double clip = 0.2;  ///< 0: off
};

struct value_statistics {
  int64_t clipped = 0;  ///< values outside of the clip range
  double loss = 0;      ///< share of the update's loss; shares add up to it
  moments returns;      ///< of the counted tokens
  moments errors;       ///< of return - value
  moments values;

  void add(const value_statistics& other);
  double clip_fraction() const;
  /// 1 - Var(R - V) / Var(R); 0 where the returns do not vary.
  double explained_variance() const;
};

struct value_loss_args {
  std::span<float> dvalue_A;  ///< overwritten
  std::span<const float> value_A, value_old_A, return_A;
  std::span<const double> weight_A;  ///< 0: does not count
};

/// Errors  shape_mismatch; not_finite.
value_statistics value_loss(const value_settings& settings, const value_loss_args& args);

}  // namespace troupe::engine
