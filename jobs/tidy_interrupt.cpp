#include "jobs/tidy_interrupt.hpp"

#include "base/error.hpp"
#include "base/system_reason.hpp"
#include "io/files/atomic_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace troupe {

namespace {

int told_by_handler = -1;

/// A second signal does not wait for what removes the folders.
void tell(int number) {
  static volatile std::sig_atomic_t is_ending = 0;
  if (is_ending != 0) {
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
  is_ending = 1;
  const int before = errno;
  const auto byte = static_cast<unsigned char>(number);
  [[maybe_unused]] const ssize_t written = ::write(told_by_handler, &byte, 1);
  errno = before;
}

/// The signal that came; 0: none will.
int next_signal(int from) {
  unsigned char byte = 0;
  ssize_t count = 0;
  do {
    count = ::read(from, &byte, 1);
  } while (count < 0 && errno == EINTR);
  return count == 1 ? byte : 0;
}

[[noreturn]] void end_by(int number) {
  std::signal(number, SIG_DFL);
  ::kill(::getpid(), number);
  while (true) {
    ::pause();
  }
}

}  // namespace

tidy_interrupt::tidy_interrupt() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    throw error(errc::io_failure, "cannot make a pipe: {}", system_reason(errno));
  }
  from_ = descriptor(ends[0]);
  to_ = descriptor(ends[1]);
  told_by_handler = to_.get();
  thread_ = std::thread([from = from_.get()] {
    if (const int number = next_signal(from)) {
      io::discard_unfinished_folders();
      end_by(number);
    }
  });
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction now {};
    ::sigaction(number, nullptr, &now);
    if (now.sa_handler != SIG_IGN) {
      before_[number] = now;
      now = {};
      now.sa_handler = tell;
      now.sa_flags = SA_RESTART;
      ::sigaction(number, &now, nullptr);
    }
  }
}

tidy_interrupt::~tidy_interrupt() {
  for (const auto& [number, action] : before_) {
    ::sigaction(number, &action, nullptr);
  }
  to_.reset();
  thread_.join();
}

}  // namespace troupe
