/// One connection of the control port's front: a TLS handshake, then bytes both ways.
#pragma once

#include "base/descriptor.hpp"

#include <openssl/ssl.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

namespace troupe::actors {

struct tls_context_free {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using tls_context = std::unique_ptr<SSL_CTX, tls_context_free>;

/// A server's context that admits peers with this one certificate only, by TLS 1.3. Files are read here and not again.
/// Errors  io_failure.
tls_context make_server_context(const std::filesystem::path& certificate, const std::filesystem::path& key);

class tls_connection {
public:
  using clock = std::chrono::steady_clock;

  /// `peer` must not block.
  tls_connection(SSL_CTX* context, descriptor peer, clock::time_point handshake_deadline);

  bool admitted() const { return inner_.valid(); }

  /// What to wait for on each descriptor (poll's events; negative descriptors are to be left out).
  struct wishes {
    int peer = -1, inner = -1;
    short peer_events = 0, inner_events = 0;
  };
  wishes wants() const;

  /// Does what can be done without waiting. `admit` gets one end of a socket pair when the handshake is complete.
  /// False: the connection is over.
  bool advance(const std::function<bool(int descriptor)>& admit);

  /// When it must have ended; time_point::max() while admitted and open.
  clock::time_point deadline() const { return deadline_; }

private:
  /// Bytes on their way in one direction: filled when empty, emptied before it is filled again.
  struct pipe {
    std::vector<char> bytes;
    size_t begin = 0, end = 0;
    bool empty() const { return begin == end; }
  };

  bool shake_hands(const std::function<bool(int descriptor)>& admit);
  bool open_inner(const std::function<bool(int descriptor)>& admit);
  bool read_peer();
  bool write_peer();
  bool read_inner();
  bool write_inner();
  void note_end();
  /// After a TLS call that did not succeed: was it only that it would have to wait?
  bool must_wait(int result);

  struct ssl_free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  descriptor peer_, inner_;
  std::unique_ptr<SSL, ssl_free> ssl_;
  clock::time_point deadline_;
  pipe to_inner_, to_peer_;
  bool tls_waits_to_write_ = false;
  bool peer_ended_ = false, inner_ended_ = false;
};

}  // namespace troupe::actors
