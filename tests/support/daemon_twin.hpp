/// Stands in for a host's slurmd.
#pragma once

#include "base/descriptor.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>

namespace troupe::test {

/// A daemon that listens on a port of one of this machine's addresses.
class daemon_twin {
public:
  explicit daemon_twin(const char* address, uint16_t port = 0)
      : open_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int yes = 1;
    ::setsockopt(open_.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_port = htons(port);
    ::inet_pton(AF_INET, address, &place.sin_addr);
    EXPECT_EQ(::bind(open_.get(), reinterpret_cast<sockaddr*>(&place), sizeof(place)), 0);
    EXPECT_EQ(::listen(open_.get(), 10), 0);
    socklen_t length = sizeof(place);
    EXPECT_EQ(::getsockname(open_.get(), reinterpret_cast<sockaddr*>(&place), &length), 0);
    port_ = ntohs(place.sin_port);
  }
  uint16_t port() const { return port_; }
  void stop() { open_.reset(); }

private:
  descriptor open_;
  uint16_t port_ = 0;
};

}  // namespace troupe::test
