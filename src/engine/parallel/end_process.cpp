#include "engine/parallel/end_process.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <thread>

namespace troupe::engine {

namespace {

constexpr int exit_status = 70;  // EX_SOFTWARE
constexpr std::chrono::seconds time_for_last_act{2};

}  // namespace

std::string late_text(std::chrono::microseconds waited) {
  return fmt::format("no end after {:.1f} s", std::chrono::duration<double>(waited).count());
}

void end_process(const std::string& who, const std::string& why, const std::function<void()>& last_act) {
  std::fprintf(stderr, "troupe: %s: %s; the process ends, since it cannot be cancelled\n", who.c_str(),
               why.c_str());  // does not throw where nobody reads
  std::fflush(stderr);
  if (last_act) {
    const auto done = std::make_shared<std::promise<void>>();
    std::thread([last_act, done] {
      last_act();
      done->set_value();
    }).detach();
    done->get_future().wait_for(time_for_last_act);
  }
  std::_Exit(exit_status);
}

}  // namespace troupe::engine
