#include "engine/objectives/value_loss.hpp"

#include "engine/objectives/checks.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace troupe::engine {

void value_statistics::add(const value_statistics& other) {
  clipped += other.clipped;
  loss += other.loss;
  returns.merge(other.returns);
  errors.merge(other.errors);
  values.merge(other.values);
}

double value_statistics::clip_fraction() const {
  return returns.count > 0 ? static_cast<double>(clipped) / static_cast<double>(returns.count) : 0.0;
}

double value_statistics::explained_variance() const {
  const double variance = returns.variance();
  return variance > 0 ? 1.0 - errors.variance() / variance : 0.0;
}

namespace {

/// The loss of one value without weight and factor 1/2, and half of its derivative.
struct squared_error {
  double loss = 0, slope = 0;
  bool clipped = false;
};

squared_error clipped_error(double clip, double value, double old, double target) {
  const double plain = value - target;
  squared_error e{plain * plain, plain, false};
  if (clip > 0) {
    const double bounded = std::clamp(value, old - clip, old + clip);
    const double other = bounded - target;
    e.clipped = bounded != value;
    if (other * other > e.loss) {
      // The clipped value decides, and it does not move with the value.
      e.loss = other * other;
      e.slope = 0;
    }
  }
  return e;
}

void check_arguments(const value_loss_args& args) {
  const size_t answers = args.value_A.size();
  check_size("dvalue_A", args.dvalue_A.size(), "value_A", answers);
  check_size("value_old_A", args.value_old_A.size(), "value_A", answers);
  check_size("return_A", args.return_A.size(), "value_A", answers);
  check_size("weight_A", args.weight_A.size(), "value_A", answers);
}

}  // namespace

value_statistics value_loss(const value_settings& settings, const value_loss_args& args) {
  check_arguments(args);
  value_statistics s;
  std::vector<uint8_t> counts(args.value_A.size());
  std::vector<float> error_A(args.value_A.size());
  for (size_t a = 0; a < args.value_A.size(); ++a) {
    const double weight = args.weight_A[a];
    counts[a] = weight != 0 ? 1 : 0;
    args.dvalue_A[a] = 0;
    if (counts[a] == 0) {
      continue;
    }
    const squared_error e = clipped_error(settings.clip, args.value_A[a], args.value_old_A[a], args.return_A[a]);
    check_finite(e.loss, "value loss", a);
    args.dvalue_A[a] = static_cast<float>(weight * e.slope);
    error_A[a] = args.return_A[a] - args.value_A[a];
    s.loss += 0.5 * weight * e.loss;
    s.clipped += e.clipped ? 1 : 0;
  }
  s.returns = moments_of(args.return_A, counts);
  s.errors = moments_of(error_A, counts);
  s.values = moments_of(args.value_A, counts);
  return s;
}

}  // namespace troupe::engine
