/// CAF's side of the control port: a doorman that takes no connections from the network, but the descriptors of peers
/// that the front has admitted. There is no second port that anybody could reach.
#pragma once

#include "actors/control/control_front.hpp"
#include "base/descriptor.hpp"

#include <caf/all.hpp>
#include <caf/io/all.hpp>
#include <caf/io/doorman.hpp>
#include <caf/io/network/acceptor.hpp>
#include <caf/io/network/default_multiplexer.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace troupe::actors {

/// A pair of connected sockets over which descriptors of this process are handed on: the doorman's end, the front's.
/// Errors  io_failure.
std::pair<descriptor, descriptor> make_feed();

/// False: the doorman has gone, or has more waiting than it can take.
bool feed_doorman(const descriptor& feed, int peer);

class control_doorman : public caf::io::doorman {
public:
  /// `front` is closed when CAF closes the doorman.
  control_doorman(caf::io::network::default_multiplexer& multiplexer, descriptor feed,
                  std::shared_ptr<control_front> front);
  ~control_doorman() override;

  bool new_connection() override;
  void graceful_shutdown() override;
  void launch() override;
  std::string addr() const override;
  uint16_t port() const override;
  void add_to_loop() override;
  void remove_from_loop() override;

private:
  /// Reads one descriptor per event; leaves the loop at the feed's end.
  class feed_reader : public caf::io::network::acceptor {
  public:
    using acceptor::acceptor;
    void handle_event(caf::io::network::operation op) override;
  };
  feed_reader reader_;
  std::shared_ptr<control_front> front_;
};

}  // namespace troupe::actors
