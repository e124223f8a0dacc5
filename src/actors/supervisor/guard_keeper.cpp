#include "actors/supervisor/guard_keeper.hpp"

#include <csignal>

namespace troupe::actors {

void guard_keeper::keep(const std::vector<std::string>& hosts) {
  if (hosts.empty() || hosts == hosts_) {
    return;
  }
  if (now_) {
    now_->signal(SIGTERM);
  }
  before_ = std::move(now_);
  hosts_ = hosts;
  now_ = start_(hosts);
}

}  // namespace troupe::actors
