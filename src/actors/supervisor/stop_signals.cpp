#include "actors/supervisor/stop_signals.hpp"

#include <cstdlib>
#include <utility>

namespace troupe::actors {

using namespace std::chrono_literals;

namespace {

constexpr int exit_stopped = 75;
constexpr auto between_looks = 50ms;
constexpr auto grace = 3s;  // for the receiver to end in its own way

bool is_ignored(int number) {
  struct sigaction now {};
  return ::sigaction(number, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

/// The signal of the set that arrives within the time, or 0.
int next_of(const sigset_t& set, std::chrono::milliseconds time) {
  const timespec limit{.tv_sec = time.count() / 1000, .tv_nsec = time.count() % 1000 * 1'000'000};
  const int number = ::sigtimedwait(&set, nullptr, &limit);
  return number > 0 ? number : 0;
}

}  // namespace

sigset_t signals_to_stop() {
  sigset_t set{};
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGUSR1}) {
    sigaddset(&set, number);
  }
  if (!is_ignored(SIGHUP)) {  // else nohup has started this
    sigaddset(&set, SIGHUP);
  }
  return set;
}

stop_signals::stop_signals() : set_(signals_to_stop()) {
  std::signal(SIGPIPE, SIG_IGN);  // nobody may read any more what is said here, which is no reason to stop
  ::pthread_sigmask(SIG_BLOCK, &set_, &before_);
  try {
    thread_ = std::thread([this] { listen(); });
  } catch (...) {
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    throw;
  }
}

stop_signals::~stop_signals() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  thread_.join();
  while (next_of(set_, 0ms) != 0) {  // what comes too late is not to end a process that is done
  }
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void stop_signals::send_to(receiver to) {
  const std::lock_guard lock(mutex_);
  to_ = std::move(to);
  if (to_) {
    for (const int signal : std::exchange(waiting_, {})) {
      to_(signal);
    }
  }
}

bool stop_signals::sleep(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  return !heard_.wait_for(lock, time, [this] { return requests_.first() != 0; });
}

void stop_signals::listen() {
  while (true) {
    const int signal = next_of(set_, between_looks);
    const std::lock_guard lock(mutex_);
    if (over_) {
      return;
    }
    if (signal != 0) {
      hear(signal);
    }
    if (at_once_ && (!to_ || std::chrono::steady_clock::now() - *at_once_ > grace)) {
      std::_Exit(exit_stopped);
    }
  }
}

void stop_signals::hear(int signal) {
  const auto now = std::chrono::steady_clock::now();
  if (requests_.note(signal, now) == stop_request::end_at_once && !at_once_) {
    at_once_ = now;
  }
  if (to_) {
    to_(signal);
  } else {
    waiting_.push_back(signal);
  }
  heard_.notify_all();
}

}  // namespace troupe::actors
