#include "actors/cast/device.hpp"

#include "base/assert.hpp"

namespace troupe::actors {

const char* to_string(role of) {
  switch (of) {
  case role::stage:
    return "stage";
  case role::loader:
    return "loader";
  case role::policy:
    return "policy";
  case role::reference:
    return "reference";
  case role::reward:
    return "reward model";
  case role::critic:
    return "critic";
  case role::policy_optimizer:
    return "policy optimizer";
  case role::reward_optimizer:
    return "reward model optimizer";
  case role::critic_optimizer:
    return "critic optimizer";
  case role::ema:
    return "weight average";
  case role::replay:
    return "replay";
  case role::checkpointer:
    return "checkpointer";
  }
  assertion_failed("a role without a name", __FILE__, __LINE__);
}

}  // namespace troupe::actors
