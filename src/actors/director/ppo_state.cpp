#include "actors/director/ppo_state.hpp"

#include <string>

namespace troupe::actors {

static constexpr const char* kl_coefficient_key = "kl_coefficient";
static constexpr const char* updates_key = "updates";
static constexpr const char* policy_updates_key = "policy_updates";
static constexpr const char* rollbacks_key = "rollbacks";
static constexpr const char* scale_prefix = "reward_scale_";

double kl_coefficient(const phase_state& of) { return statistic(of.values, kl_coefficient_key); }
void set_kl_coefficient(phase_state& of, double coefficient) { of.values[kl_coefficient_key] = coefficient; }

uint64_t updates_done(const phase_state& of) { return static_cast<uint64_t>(statistic(of.values, updates_key)); }
void count_update(phase_state& of) { of.values[updates_key] += 1; }

uint64_t policy_updates_done(const phase_state& of) {
  const auto found = of.values.find(policy_updates_key);
  return found == of.values.end() ? updates_done(of) : static_cast<uint64_t>(found->second);
}
void begin_policy_updates(phase_state& of) { of.values[policy_updates_key] = 0; }
void count_policy_update(phase_state& of) {
  of.values[policy_updates_key] = static_cast<double>(policy_updates_done(of) + 1);
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
