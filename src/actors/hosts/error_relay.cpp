#include "actors/hosts/error_relay.hpp"

#include "base/error.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace troupe::actors {

constexpr size_t longest_passed_on = 16384;  // a line that is longer is told in pieces

error_relay::error_relay(line_listener tell) : tell_(std::move(tell)), end_(::eventfd(0, EFD_CLOEXEC)) {
  int ends[2] = {-1, -1};
  if (!end_.valid() || ::pipe2(ends, O_CLOEXEC) != 0) {
    throw error(errc::io_failure, "cannot make a pipe: {}", std::strerror(errno));
  }
  from_ = descriptor(ends[0]);
  to_ = descriptor(ends[1]);
  ::fcntl(from_.get(), F_SETFL, O_NONBLOCK);  // this end alone: the program's may block as it likes
}

error_relay::~error_relay() { finish(); }

void error_relay::begin() {
  to_.reset();  // else the end of the program's words would never come
  thread_ = std::thread([this] { pass_on(); });
}

const last_words& error_relay::finish() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    while (::write(end_.get(), &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    thread_.join();
    if (!begun_.empty()) {
      tell(begun_);
      begun_.clear();
    }
  }
  return said_;
}

void error_relay::pass_on() {
  pollfd sources[] = {{.fd = from_.get(), .events = POLLIN, .revents = 0},
                      {.fd = end_.get(), .events = POLLIN, .revents = 0}};
  bool open = true;
  while (sources[1].revents == 0) {
    sources[0].fd =
        open ? from_.get() : -1;  // all who had the other end have closed it: only the program's end is missing
    if (::poll(sources, 2, -1) < 0 && errno != EINTR) {
      return;
    }
    open = open && take();
  }
}

/// False: there will be no more.
bool error_relay::take() {
  char piece[1024];
  ssize_t got = 0;
  while ((got = ::read(from_.get(), piece, sizeof(piece))) > 0) {
    begun_.append(piece, static_cast<size_t>(got));
    tell_lines();
  }
  return got < 0 && (errno == EAGAIN || errno == EINTR);
}

void error_relay::tell_lines() {
  for (size_t end = 0; (end = begun_.find('\n')) != std::string::npos || begun_.size() > longest_passed_on;) {
    const size_t length = std::min(end, longest_passed_on);
    tell(std::string_view(begun_).substr(0, length));
    begun_.erase(0, length == end ? length + 1 : length);
  }
}

void error_relay::tell(std::string_view line) {
  tell_(line);
  said_.hear(line);
}

}  // namespace troupe::actors
