#include "actors/control/tls_connection.hpp"

#include "base/error.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

namespace troupe::actors {

namespace {

constexpr size_t buffer_bytes = 16384;  // a TLS record
constexpr std::chrono::seconds drain_time{5};

void check(bool ok, const char* what, const std::filesystem::path& path) {
  if (!ok) {
    throw error(errc::io_failure, "control port: {} of {} failed", what, path.string());
  }
}

struct certificate_free {
  void operator()(X509* certificate) const { X509_free(certificate); }
};

/// One name and one key are everybody's: the peer must show our own certificate, not one that this one has signed.
bool shows_our_certificate(SSL* ssl) {
  const std::unique_ptr<X509, certificate_free> shown(SSL_get1_peer_certificate(ssl));
  return shown && SSL_get_verify_result(ssl) == X509_V_OK && X509_cmp(shown.get(), SSL_get_certificate(ssl)) == 0;
}

}  // namespace

tls_context make_server_context(const std::filesystem::path& certificate, const std::filesystem::path& key) {
  tls_context context(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* c = context.get();
  check(c != nullptr && SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) == 1, "the TLS context", certificate);
  check(SSL_CTX_use_certificate_file(c, certificate.c_str(), SSL_FILETYPE_PEM) == 1, "reading", certificate);
  check(SSL_CTX_use_PrivateKey_file(c, key.c_str(), SSL_FILETYPE_PEM) == 1, "reading", key);
  check(SSL_CTX_check_private_key(c) == 1, "matching the certificate with the key", key);
  check(SSL_CTX_load_verify_locations(c, certificate.c_str(), nullptr) == 1, "reading", certificate);
  SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(c, 0);  // no session is ever resumed: each peer shows its certificate
  SSL_CTX_set_max_cert_list(c, 16384);
  SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  return context;
}

tls_connection::tls_connection(SSL_CTX* context, descriptor peer, clock::time_point handshake_deadline)
    : peer_(std::move(peer)), ssl_(SSL_new(context)), deadline_(handshake_deadline) {
  if (ssl_) {
    SSL_set_fd(ssl_.get(), peer_.get());
    SSL_set_accept_state(ssl_.get());
  }
}

tls_connection::wishes tls_connection::wants() const {
  wishes w;
  w.peer = peer_.get();
  if (!admitted()) {
    w.peer_events = tls_waits_to_write_ ? POLLOUT : POLLIN;
    return w;
  }
  w.inner = inner_.get();
  const bool write_peer = !to_peer_.empty() || tls_waits_to_write_;
  w.peer_events = static_cast<short>((to_inner_.empty() && !peer_ended_ ? POLLIN : 0) | (write_peer ? POLLOUT : 0));
  w.inner_events =
      static_cast<short>((to_peer_.empty() && !inner_ended_ ? POLLIN : 0) | (!to_inner_.empty() ? POLLOUT : 0));
  // A descriptor without wishes would report its hang-up for ever.
  w.peer = w.peer_events != 0 ? w.peer : -1;
  w.inner = w.inner_events != 0 ? w.inner : -1;
  return w;
}

bool tls_connection::advance(const std::function<bool(int descriptor)>& admit) {
  if (!ssl_) {
    return false;  // no memory for it
  }
  if (!admitted() && !shake_hands(admit)) {
    return false;
  }
  if (!admitted()) {
    return true;
  }
  // A bounded number of turns, so that one busy peer leaves time for the others.
  for (int turn = 0; turn < 16; ++turn) {
    bool moved = read_peer();
    moved = write_inner() || moved;
    moved = read_inner() || moved;
    moved = write_peer() || moved;
    if (!moved) {
      break;
    }
  }
  if (SSL_pending(ssl_.get()) > 0) {
    read_peer();  // poll does not see what TLS has taken from the socket already
  }
  note_end();
  const bool peer_done = peer_ended_ && to_inner_.empty();
  const bool inner_done = inner_ended_ && to_peer_.empty();
  return !peer_done && !inner_done;
}

bool tls_connection::shake_hands(const std::function<bool(int descriptor)>& admit) {
  ERR_clear_error();
  tls_waits_to_write_ = false;
  const int result = SSL_accept(ssl_.get());
  if (result != 1) {
    return must_wait(result);
  }
  return shows_our_certificate(ssl_.get()) && open_inner(admit);
}

bool tls_connection::open_inner(const std::function<bool(int descriptor)>& admit) {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
    return false;
  }
  inner_ = descriptor(ends[0]);
  descriptor outer(ends[1]);
  if (!admit(outer.get())) {
    return false;
  }
  outer.release();
  to_inner_.bytes.resize(buffer_bytes);
  to_peer_.bytes.resize(buffer_bytes);
  deadline_ = clock::time_point::max();
  return true;
}

bool tls_connection::must_wait(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
  case SSL_ERROR_WANT_WRITE:
    tls_waits_to_write_ = true;
    return true;
  case SSL_ERROR_WANT_READ:
    return true;
  default:
    return false;
  }
}

bool tls_connection::read_peer() {
  if (!to_inner_.empty() || peer_ended_) {
    return false;
  }
  ERR_clear_error();
  const int count = SSL_read(ssl_.get(), to_inner_.bytes.data(), static_cast<int>(to_inner_.bytes.size()));
  if (count <= 0) {
    peer_ended_ = !must_wait(count);
    return false;
  }
  to_inner_.begin = 0;
  to_inner_.end = static_cast<size_t>(count);
  return true;
}

bool tls_connection::write_peer() {
  if (to_peer_.empty()) {
    tls_waits_to_write_ = false;
    return false;
  }
  ERR_clear_error();
  tls_waits_to_write_ = false;
  const int count =
      SSL_write(ssl_.get(), to_peer_.bytes.data() + to_peer_.begin, static_cast<int>(to_peer_.end - to_peer_.begin));
  if (count <= 0) {
    if (!must_wait(count)) {
      peer_ended_ = true;
      to_peer_.begin = to_peer_.end;
    }
    return false;
  }
  to_peer_.begin += static_cast<size_t>(count);
  return true;
}

bool tls_connection::read_inner() {
  if (!to_peer_.empty() || inner_ended_) {
    return false;
  }
  const ssize_t count = ::recv(inner_.get(), to_peer_.bytes.data(), to_peer_.bytes.size(), 0);
  if (count <= 0) {
    inner_ended_ = count == 0 || (errno != EAGAIN && errno != EINTR);
    return false;
  }
  to_peer_.begin = 0;
  to_peer_.end = static_cast<size_t>(count);
  return true;
}

bool tls_connection::write_inner() {
  if (to_inner_.empty()) {
    return false;
  }
  const ssize_t count =
      ::send(inner_.get(), to_inner_.bytes.data() + to_inner_.begin, to_inner_.end - to_inner_.begin, MSG_NOSIGNAL);
  if (count <= 0) {
    if (errno != EAGAIN && errno != EINTR) {
      inner_ended_ = true;
      to_inner_.begin = to_inner_.end;
    }
    return false;
  }
  to_inner_.begin += static_cast<size_t>(count);
  return true;
}

void tls_connection::note_end() {
  if ((peer_ended_ || inner_ended_) && deadline_ == clock::time_point::max()) {
    deadline_ = clock::now() + drain_time;  // for what is still on its way to the other side
  }
}

}  // namespace troupe::actors
