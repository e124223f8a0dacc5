#include "actors/hosts/error_relay.hpp"

#include "base/error.hpp"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <cstring>
#include <sstream>
#include <vector>

namespace troupe::actors {

constexpr size_t most_kept = 4096;
constexpr size_t longest_line = 200;

std::string last_words(const std::string& text, size_t most) {
  std::vector<std::string> all, errors;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) {
      continue;
    }
    line.resize(std::min(line.size(), longest_line));
    all.push_back(line);
    if (line.find("error") != std::string::npos) {
      errors.push_back(line);
    }
  }
  std::vector<std::string>& told = errors.empty() ? all : errors;
  told.erase(told.begin(), told.end() - static_cast<ptrdiff_t>(std::min(most, told.size())));
  return fmt::format("{}", fmt::join(told, "; "));
}

error_relay::error_relay() : end_(::eventfd(0, EFD_CLOEXEC)) {
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

std::string error_relay::finish() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    while (::write(end_.get(), &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    thread_.join();
  }
  return kept_;
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
    for (ssize_t done = 0, more = 0; done < got; done += more) {
      more = ::write(STDERR_FILENO, piece + done, static_cast<size_t>(got - done));
      if (more <= 0) {
        break;  // nobody to tell
      }
    }
    kept_.append(piece, static_cast<size_t>(got));
    if (kept_.size() > most_kept) {
      kept_.erase(0, kept_.size() - most_kept);
    }
  }
  return got < 0 && (errno == EAGAIN || errno == EINTR);
}

}  // namespace troupe::actors
