#include "actors/director/ppo_state.hpp"

#include <cmath>
#include <string>

namespace troupe::actors {

static constexpr const char* kl_coefficient_key = "kl_coefficient";
static constexpr const char* updates_key = "updates";
static constexpr const char* policy_updates_key = "policy_updates";
static constexpr const char* rollbacks_key = "rollbacks";
static constexpr const char* scale_prefix = "reward_scale_";

void begin_ppo(phase_state& of, double kl_coefficient) {
  set_kl_coefficient(of, kl_coefficient);
  of.values[policy_updates_key] = 0;
}

void adopt_options(phase_state& of, const io::job& then, const io::job& now) {
  if (now.ppo.kl_coef != then.ppo.kl_coef || now.ppo.kl_controller != then.ppo.kl_controller) {
    set_kl_coefficient(of, now.ppo.kl_coef);
  }
  if (now.ppo.reward_scaling != then.ppo.reward_scaling || now.rewards != then.rewards) {
    set_reward_scale(of, {{"count", 0}, {"mean", 0}, {"squares", 0}});
  }
  const int64_t updates = now.ppo.epochs * now.ppo.minibatches;
  const int64_t updates_then = then.ppo.epochs * then.ppo.minibatches;
  if (updates != updates_then) {
    scale_updates(of, static_cast<double>(updates) / static_cast<double>(updates_then));
  }
}

double kl_coefficient(const phase_state& of) { return statistic(of.values, kl_coefficient_key); }
void set_kl_coefficient(phase_state& of, double coefficient) { of.values[kl_coefficient_key] = coefficient; }

uint64_t updates_done(const phase_state& of) { return static_cast<uint64_t>(statistic(of.values, updates_key)); }
void count_update(phase_state& of) { of.values[updates_key] += 1; }

uint64_t policy_updates_done(const phase_state& of) {
  const auto found = of.values.find(policy_updates_key);
  return found == of.values.end() ? updates_done(of) : static_cast<uint64_t>(found->second);
}
void count_policy_update(phase_state& of) {
  of.values[policy_updates_key] = static_cast<double>(policy_updates_done(of) + 1);
}

void scale_updates(phase_state& of, double factor) {
  for (const char* key : {updates_key, policy_updates_key}) {
    if (const auto found = of.values.find(key); found != of.values.end()) {
      found->second = std::round(found->second * factor);
    }
  }
}

double rollbacks(const phase_state& of) { return statistic(of.values, rollbacks_key); }
void set_rollbacks(phase_state& of, double number) { of.values[rollbacks_key] = number; }

statistics reward_scale(const phase_state& of) {
  statistics moments;
  for (const char* name : {"count", "mean", "squares"}) {
    moments[name] = statistic(of.values, std::string(scale_prefix) + name);
  }
  return moments;
}

void set_reward_scale(phase_state& of, const statistics& moments) {
  for (const auto& [name, value] : moments) {
    of.values[scale_prefix + name] = value;
  }
}

}  // namespace troupe::actors
