#include "support/hostile_peer.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <deque>
#include <memory>
#include <random>
#include <string>

namespace troupe::test {

namespace {

struct context_free {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct session_free {
  void operator()(SSL* session) const { SSL_free(session); }
};
using context_ptr = std::unique_ptr<SSL_CTX, context_free>;
using session_ptr = std::unique_ptr<SSL, session_free>;

int open_connection(uint16_t port) {
  const int s = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  ::setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  ::setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(s, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    ::close(s);
    return -1;
  }
  return s;
}

void send_bytes(int s, const std::string& bytes) { ::send(s, bytes.data(), bytes.size(), MSG_NOSIGNAL); }

/// The first flight of a real client.
std::string client_hello() {
  const context_ptr context(SSL_CTX_new(TLS_client_method()));
  const session_ptr session(SSL_new(context.get()));
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(session.get(), in, out);
  SSL_connect(session.get());
  std::string bytes(4096, '\0');
  bytes.resize(static_cast<size_t>(std::max(0, BIO_read(out, bytes.data(), static_cast<int>(bytes.size())))));
  return bytes;
}

/// A whole handshake as far as the other side lets it go, and a few bytes after it.
void speak_tls(int s, SSL_CTX* context) {
  const session_ptr session(SSL_new(context));
  SSL_set_fd(session.get(), s);
  if (SSL_connect(session.get()) == 1) {  // in TLS 1.3 the refusal comes after the client's last word
    SSL_write(session.get(), "hello", 5);
    char answer[64];
    SSL_read(session.get(), answer, sizeof(answer));
  }
}

class attacker {
public:
  attacker(uint16_t port, const std::filesystem::path& foreign, size_t held)
      : port_(port), held_(held), hello_(client_hello()), anonymous_(SSL_CTX_new(TLS_client_method())),
        foreign_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_use_certificate_file(foreign_.get(), (foreign / "certificate.pem").c_str(), SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(foreign_.get(), (foreign / "key.pem").c_str(), SSL_FILETYPE_PEM);
  }

  ~attacker() {
    for (const held_connection& one : open_) {
      ::close(one.socket);
    }
  }

  bool once(int64_t kind) {
    const int s = open_connection(port_);
    if (s < 0) {
      return false;
    }
    if (kind >= 10) {
      hold(s, kind == 11);
      return true;
    }
    say(s, kind);
    ::close(s);
    return true;
  }

private:
  struct held_connection {
    int socket;
    bool trickles;
    size_t sent;
  };

  void hold(int s, bool trickles) {
    open_.push_back({s, trickles, 0});
    if (open_.size() > held_) {
      ::close(open_.front().socket);
      open_.pop_front();
    }
    for (held_connection& one : open_) {
      if (one.trickles && one.sent < hello_.size() - 1) {
        send_bytes(one.socket, hello_.substr(one.sent++, 1));
      }
    }
  }

  std::string random_bytes() {
    std::string bytes(1 + random_() % 3000, '\0');
    for (char& byte : bytes) {
      byte = static_cast<char>(random_());
    }
    return bytes;
  }

  void say(int s, int64_t kind) {
    switch (kind) {
    case 0:
      break;
    case 1: {
      const linger reset{.l_onoff = 1, .l_linger = 0};
      send_bytes(s, hello_);
      ::setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
      break;
    }
    case 2:
      send_bytes(s, random_bytes());
      break;
    case 3:  // BASP: a client's handshake, version 4, and 32 bytes of payload
      send_bytes(s, std::string("\x01\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\x04", 16) + std::string(48, '\0'));
      break;
    case 4:  // BASP: a direct message of 4 GiB
      send_bytes(s, std::string("\x02\0\0\0\xff\xff\xff\xff", 8) + std::string(4096, '\xff'));
      break;
    case 5:  // TLS: a record of 64 KiB, a handshake message of 16 MiB
      send_bytes(s, std::string("\x16\x03\x01\xff\xff\x01\xff\xff\xff", 9) + std::string(70000, 'x'));
      break;
    case 6:
      send_bytes(s, hello_.substr(0, hello_.size() / 2));
      break;
    case 7:
      send_bytes(s, hello_ + random_bytes());
      break;
    case 8:
      speak_tls(s, anonymous_.get());
      break;
    default:
      speak_tls(s, foreign_.get());
      break;
    }
  }

  uint16_t port_;
  size_t held_;
  std::string hello_;
  context_ptr anonymous_, foreign_;
  std::deque<held_connection> open_;
  std::mt19937 random_{7};
};

}  // namespace

int64_t attack(uint16_t port, const std::filesystem::path& foreign, int64_t count, int64_t held) {
  std::signal(SIGPIPE, SIG_IGN);  // NOLINT(bugprone-unused-return-value): the attacker's own process
  attacker stranger(port, foreign, static_cast<size_t>(held));
  int64_t taken = 0;
  for (int64_t i = 0; i < count; ++i) {
    taken += stranger.once(i % 12) ? 1 : 0;
  }
  return taken;
}

}  // namespace troupe::test
