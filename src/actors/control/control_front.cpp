#include "actors/control/control_front.hpp"

#include "actors/control/tls_connection.hpp"
#include "base/error.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <vector>

namespace troupe::actors {

namespace {

using clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr int accepted_per_turn = 64;

struct address_list_free {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};

descriptor listen_at(const addrinfo& place) {
  descriptor socket(::socket(place.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;  // a port that was named must be free again as soon as the run before has ended
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (!socket.valid() || ::bind(socket.get(), place.ai_addr, place.ai_addrlen) != 0 ||
      ::listen(socket.get(), SOMAXCONN) != 0) {
    return {};
  }
  return socket;
}

descriptor listen_on(const std::string& address, uint16_t port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const char* name = address.empty() ? nullptr : address.c_str();
  if (const int failure = ::getaddrinfo(name, std::to_string(port).c_str(), &hints, &found); failure != 0) {
    throw error(errc::io_failure, "cannot listen on {}: {}", address, ::gai_strerror(failure));
  }
  const std::unique_ptr<addrinfo, address_list_free> list(found);
  for (const addrinfo* place = found; place != nullptr; place = place->ai_next) {
    if (descriptor socket = listen_at(*place); socket.valid()) {
      return socket;
    }
  }
  throw error(errc::io_failure, "cannot listen on {}, port {}: {}", address, port, std::strerror(errno));
}

uint16_t port_of(const descriptor& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                                             : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

void set_option(int socket, int level, int option) {
  const int on = 1;
  ::setsockopt(socket, level, option, &on, sizeof(on));
}

size_t handshakes_for(size_t wanted) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return wanted > 0 ? wanted : std::clamp<size_t>(limit.rlim_cur / 4, 16, 1024);
}

/// The signals are those of the main thread; a peer that has gone must not end the process (SIGPIPE).
void block_signals() {
  sigset_t all;
  sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace

class control_front::loop {
public:
  loop(const front_settings& settings, admit_function admit)
      : settings_(settings), admit_(std::move(admit)),
        context_(make_server_context(settings.certificate, settings.key)),
        listener_(listen_on(settings.address, settings.port)), wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
        port_(port_of(listener_)) {
    settings_.handshakes = handshakes_for(settings_.handshakes);
  }

  uint16_t port() const { return port_; }

  void close() {
    if (closing_.exchange(true)) {
      return;
    }
    const uint64_t one = 1;
    // A full counter wakes as well.
    [[maybe_unused]] const ssize_t ignored = ::write(wake_.get(), &one, sizeof(one));
  }

  void run() {
    block_signals();
    while (true) {
      if (closing_ && stop_by_ == clock::time_point::max()) {
        begin_to_close();
      }
      if (closing_ && (connections_.empty() || clock::now() >= stop_by_)) {
        connections_.clear();
        return;
      }
      wait();
      drop_ended();
      accept_some();
    }
  }

private:
  void begin_to_close() {
    stop_by_ = clock::now() + 1s;
    listener_.reset();
    uint64_t count = 0;  // nothing else is told by it: poll must not report it again
    [[maybe_unused]] const ssize_t ignored = ::read(wake_.get(), &count, sizeof(count));
    std::erase_if(connections_, [](const auto& one) { return !one->admitted(); });
  }

  /// Milliseconds until something is due, rounded up; -1: nothing is.
  int timeout_ms() const {
    clock::time_point due = std::min(stop_by_, pause_until_ > clock::now() ? pause_until_ : clock::time_point::max());
    for (const auto& one : connections_) {
      due = std::min(due, one->deadline());
    }
    if (due == clock::time_point::max()) {
      return -1;
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(due - clock::now());
    return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 60'000));
  }

  /// Waits, and lets every connection go on that can.
  void wait() {
    polled_.clear();
    const bool accepts = listener_.valid() && clock::now() >= pause_until_;
    polled_.push_back({.fd = wake_.get(), .events = POLLIN, .revents = 0});
    polled_.push_back({.fd = accepts ? listener_.get() : -1, .events = POLLIN, .revents = 0});
    for (const auto& one : connections_) {
      const auto w = one->wants();
      polled_.push_back({.fd = w.peer, .events = w.peer_events, .revents = 0});
      polled_.push_back({.fd = w.inner, .events = w.inner_events, .revents = 0});
    }
    if (::poll(polled_.data(), polled_.size(), timeout_ms()) < 0) {
      return;  // interrupted
    }
    listener_ready_ = polled_[1].revents != 0;
    for (size_t i = 0; i < connections_.size(); ++i) {
      if (polled_[2 + 2 * i].revents != 0 || polled_[3 + 2 * i].revents != 0) {
        advance(connections_[i]);
      }
    }
  }

  void advance(std::unique_ptr<tls_connection>& one) {
    const bool was_admitted = one->admitted();
    if (!one->advance(admit_)) {
      if (!was_admitted) {
        count_refusal();
      }
      one.reset();
    }
  }

  void drop_ended() {
    const auto now = clock::now();
    for (auto& one : connections_) {
      if (one && one->deadline() <= now) {
        if (!one->admitted()) {
          count_refusal();
        }
        one.reset();
      }
    }
    std::erase(connections_, nullptr);
  }

  void accept_some() {
    for (int i = 0; listener_ready_ && listener_.valid() && i < accepted_per_turn; ++i) {
      descriptor peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!peer.valid()) {
        if ((errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) && !drop_oldest_handshake()) {
          pause_until_ = clock::now() + 100ms;  // else poll would report the listener again at once
        }
        break;
      }
      set_option(peer.get(), IPPROTO_TCP, TCP_NODELAY);
      set_option(peer.get(), SOL_SOCKET, SO_KEEPALIVE);
      if (handshakes() >= settings_.handshakes) {
        drop_oldest_handshake();
      }
      connections_.push_back(std::make_unique<tls_connection>(context_.get(), std::move(peer),
                                                              clock::now() + settings_.handshake_deadline));
    }
    listener_ready_ = false;
  }

  size_t handshakes() const {
    return static_cast<size_t>(
        std::count_if(connections_.begin(), connections_.end(), [](const auto& one) { return !one->admitted(); }));
  }

  bool drop_oldest_handshake() {
    const auto oldest =
        std::find_if(connections_.begin(), connections_.end(), [](const auto& one) { return !one->admitted(); });
    if (oldest == connections_.end()) {
      return false;
    }
    connections_.erase(oldest);
    count_refusal();
    return true;
  }

  /// Told at 1, 2, 4, 8, ...: a flood must not fill the log.
  void count_refusal() {
    const uint64_t count = ++refused_;
    if (std::has_single_bit(count)) {
      spdlog::warn("control port {}: {} connection(s) without this run's certificate refused so far", port_, count);
    }
  }

  front_settings settings_;
  admit_function admit_;
  tls_context context_;
  descriptor listener_, wake_;
  uint16_t port_ = 0;
  std::atomic<bool> closing_ = false;
  std::atomic<uint64_t> refused_ = 0;
  bool listener_ready_ = false;
  clock::time_point stop_by_ = clock::time_point::max();
  clock::time_point pause_until_ = clock::time_point::min();
  std::vector<std::unique_ptr<tls_connection>> connections_;  // oldest first
  std::vector<pollfd> polled_;
};

control_front::control_front(const front_settings& settings, admit_function admit)
    : loop_(std::make_unique<loop>(settings, std::move(admit))) {}
control_front::~control_front() = default;
uint16_t control_front::port() const { return loop_->port(); }
void control_front::run() { loop_->run(); }
void control_front::close() { loop_->close(); }

}  // namespace troupe::actors
