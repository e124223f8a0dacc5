#include "actors/supervisor/guard_keeper.hpp"

#include <algorithm>
#include <csignal>

namespace troupe::actors {

using namespace std::chrono_literals;

constexpr guard_keeper::clock::duration first_pause = 1s;
constexpr guard_keeper::clock::duration longest_pause = 30s;

void guard_keeper::keep(const std::vector<std::string>& hosts, clock::time_point now) {
  if (hosts.empty() || hosts == hosts_) {
    return;
  }
  if (now_) {
    now_->signal(SIGTERM);
  }
  before_ = std::move(now_);
  hosts_ = hosts;
  pause_ = first_pause;
  start(now);
}

void guard_keeper::look(clock::time_point now) {
  const bool ended = !now_ || ended_->load();
  if (hosts_.empty() || !ended || now - started_ < pause_) {
    return;
  }
  pause_ = now - started_ > longest_pause ? first_pause : std::min(2 * pause_, longest_pause);
  now_.reset();
  start(now);
}

void guard_keeper::dismiss() {
  hosts_.clear();
  now_.reset();
}

void guard_keeper::start(clock::time_point now) {
  started_ = now;
  ended_ = std::make_shared<std::atomic<bool>>(false);
  now_ = start_(hosts_, [ended = ended_](int) { ended->store(true); });
}

}  // namespace troupe::actors
