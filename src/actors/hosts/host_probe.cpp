#include "actors/hosts/host_probe.hpp"

#include <netdb.h>
#include <poll.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace troupe::actors {

std::optional<uint16_t> slurmd_port(std::string_view config) {
  constexpr std::string_view key = "SlurmdPort";
  size_t at = 0;
  while (at < config.size()) {
    const size_t end = std::min(config.find('\n', at), config.size());
    const std::string_view line = config.substr(at, end - at);
    at = end + 1;
    const size_t value = line.find_first_not_of(" =", key.size());
    if (!line.starts_with(key) || value == std::string_view::npos || value == key.size()) {
      continue;
    }
    uint16_t port = 0;
    const auto [rest, failure] = std::from_chars(line.data() + value, line.data() + line.size(), port);
    if (failure == std::errc() && port > 0) {
      return port;
    }
  }
  return std::nullopt;
}

host_probe::host_probe(const std::vector<std::string>& hosts, uint16_t port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  for (const std::string& host : hosts) {
    addrinfo* found = nullptr;
    if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) == 0 && found != nullptr) {
      target& one = targets_[host];
      std::memcpy(&one.address, found->ai_addr, found->ai_addrlen);
      one.length = found->ai_addrlen;
    }
    if (found != nullptr) {
      ::freeaddrinfo(found);
    }
  }
}

void host_probe::start() {
  started_ = clock::now();
  for (auto& [host, one] : targets_) {
    one.known = one.known || one.answered;
    one.answered = false;
    one.open = descriptor(::socket(one.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (one.open.valid() &&
        ::connect(one.open.get(), reinterpret_cast<const sockaddr*>(&one.address), one.length) == 0) {
      one.answered = true;
      one.open.reset();
    }
  }
}

/// Takes in the answers that come within the time. True: none is missing any more.
bool host_probe::collect(std::chrono::milliseconds patience) {
  std::vector<pollfd> waiting;
  std::vector<target*> whose;
  for (auto& [host, one] : targets_) {
    if (one.open.valid()) {
      waiting.push_back({.fd = one.open.get(), .events = POLLOUT, .revents = 0});
      whose.push_back(&one);
    }
  }
  if (waiting.empty()) {
    return true;
  }
  ::poll(waiting.data(), waiting.size(), static_cast<int>(patience.count()));
  size_t ended = 0;
  for (size_t i = 0; i < waiting.size(); ++i) {
    if (waiting[i].revents != 0) {
      int failure = 0;
      socklen_t length = sizeof(failure);
      whose[i]->answered = ::getsockopt(waiting[i].fd, SOL_SOCKET, SO_ERROR, &failure, &length) == 0 && failure == 0;
      whose[i]->open.reset();
      ++ended;
    }
  }
  return ended == waiting.size();
}

void host_probe::wait(std::chrono::milliseconds since_start) {
  if (started_ == clock::time_point{}) {
    start();
  }
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(since_start - age());
    if (collect(std::max(left, std::chrono::milliseconds(0))) || left.count() <= 0) {
      return;
    }
  }
}

bool host_probe::answered(const std::string& host) {
  collect(std::chrono::milliseconds(0));
  const auto found = targets_.find(host);
  return found != targets_.end() && found->second.answered;
}

std::set<std::string> host_probe::silent(bool strangers) {
  collect(std::chrono::milliseconds(0));
  const bool any = std::any_of(targets_.begin(), targets_.end(),
                               [](const auto& one) { return one.second.known || one.second.answered; });
  std::set<std::string> hosts;
  for (const auto& [host, one] : targets_) {
    if (!one.answered && (one.known || (strangers && any))) {
      hosts.insert(host);
    }
  }
  return hosts;
}

}  // namespace troupe::actors
