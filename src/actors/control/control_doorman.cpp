#include "actors/control/control_doorman.hpp"

#include "base/error.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace troupe::actors {

std::pair<descriptor, descriptor> make_feed() {
  int ends[2] = {-1, -1};
  // Packets: a number arrives whole or not at all.
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
    throw error(errc::io_failure, "cannot make a socket pair for the control port: {}", std::strerror(errno));
  }
  return {descriptor(ends[0]), descriptor(ends[1])};
}

bool feed_doorman(const descriptor& feed, int peer) {
  return ::send(feed.get(), &peer, sizeof(peer), MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof(peer));
}

namespace {

struct feed_policy {
  bool ended = false;
  bool try_accept(caf::io::network::native_socket& peer, caf::io::network::native_socket feed) {
    int number = -1;
    const ssize_t count = ::recv(feed, &number, sizeof(number), 0);
    ended = count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR);
    if (count != static_cast<ssize_t>(sizeof(number))) {
      return false;
    }
    peer = number;
    return true;
  }
};

}  // namespace

void control_doorman::feed_reader::handle_event(caf::io::network::operation op) {
  feed_policy policy;
  handle_event_impl(op, policy);
  if (policy.ended) {
    passivate();
  }
}

control_doorman::control_doorman(caf::io::network::default_multiplexer& multiplexer, descriptor feed,
                                 std::shared_ptr<control_front> front)
    : doorman(caf::io::network::accept_hdl_from_socket(feed.get())), reader_(multiplexer, feed.get()),
      front_(std::move(front)) {
  feed.release();  // the reader closes it
}

control_doorman::~control_doorman() { front_->close(); }

bool control_doorman::new_connection() {
  descriptor peer(reader_.accepted_socket());
  if (detached()) {
    return false;  // the broker has closed it while this event was under way
  }
  auto& multiplexer = reader_.backend();
  auto scribe = multiplexer.new_scribe(peer.release());
  const auto handle = scribe->hdl();
  parent()->add_scribe(std::move(scribe));
  return doorman::new_connection(&multiplexer, handle);
}

void control_doorman::graceful_shutdown() {
  front_->close();
  reader_.graceful_shutdown();
  detach(&reader_.backend(), false);
}

void control_doorman::launch() { reader_.start(this); }
std::string control_doorman::addr() const { return "control port"; }
uint16_t control_doorman::port() const { return front_->port(); }
void control_doorman::add_to_loop() { reader_.activate(this); }
void control_doorman::remove_from_loop() { reader_.passivate(); }

}  // namespace troupe::actors
