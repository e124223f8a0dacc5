#include "actors/control/control_channel.hpp"

#include "actors/control/control_doorman.hpp"
#include "actors/protocol/type_ids.hpp"
#include "base/error.hpp"
#include "io/files/paths.hpp"

#include <caf/io/basp_broker.hpp>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <set>
#include <thread>

namespace troupe::actors {

namespace {

constexpr const char* certificate_name = "certificate.pem";
constexpr const char* key_name = "key.pem";

template <auto Free> struct freed_by {
  template <class T> void operator()(T* object) const { Free(object); }
};
using key_ptr = std::unique_ptr<EVP_PKEY, freed_by<EVP_PKEY_free>>;
using certificate_ptr = std::unique_ptr<X509, freed_by<X509_free>>;

void check(bool ok, const char* what) {
  if (!ok) {
    throw error(errc::io_failure, "cannot make the run's certificate: {} failed", what);
  }
}

certificate_ptr self_signed(EVP_PKEY* key) {
  certificate_ptr certificate(X509_new());
  check(certificate != nullptr, "X509_new");
  X509* c = certificate.get();
  X509_set_version(c, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(c), 1);
  X509_gmtime_adj(X509_getm_notBefore(c), -24L * 3600);  // clocks of nodes differ
  X509_gmtime_adj(X509_getm_notAfter(c), 400L * 24 * 3600);
  X509_set_pubkey(c, key);
  X509_NAME* name = X509_get_subject_name(c);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("troupe run"), -1, -1, 0);
  X509_set_issuer_name(c, name);
  check(X509_sign(c, key, EVP_sha256()) > 0, "X509_sign");
  return certificate;
}

/// Makes a folder that is the user's own, and nobody else's to enter.
/// Errors  io_failure: another user has made it, it is no folder, or the file system does not keep modes.
void make_private(const std::filesystem::path& folder) {
  io::make_folder(folder);
  ::chmod(folder.c_str(), 0700);
  struct stat found {};
  const bool own = ::lstat(folder.c_str(), &found) == 0 && S_ISDIR(found.st_mode) && found.st_uid == ::geteuid();
  if (!own || (found.st_mode & 0077) != 0) {
    throw error(
        errc::io_failure,
        "{}: the keys of a run must be readable by its user alone, but {}; choose a run.dir of your own on a file "
        "system with permissions",
        folder.string(),
        own ? fmt::format("the folder's mode stays {:o}", found.st_mode & 0777)
            : "the folder is another user's, or none");
  }
}

/// Opens a new file that only the user can read, from its first moment on.
std::FILE* create_private(const std::filesystem::path& path) {
  ::unlink(path.c_str());
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  std::FILE* file = descriptor < 0 ? nullptr : ::fdopen(descriptor, "w");
  if (file == nullptr) {
    throw error(errc::io_failure, "{}: cannot create: {}", path.string(), std::strerror(errno));
  }
  return file;
}

void finish(std::FILE* file, bool written, const std::filesystem::path& path) {
  const bool closed = std::fclose(file) == 0;
  if (!written || !closed) {
    throw error(errc::io_failure, "{}: cannot write: is the disk full?", path.string());
  }
}

}  // namespace

void create_credentials(const std::filesystem::path& folder) {
  make_private(folder);
  const key_ptr key(EVP_EC_gen("P-256"));
  check(key != nullptr, "EVP_EC_gen");
  const certificate_ptr certificate = self_signed(key.get());

  const auto key_path = folder / key_name;
  std::FILE* key_file = create_private(key_path);
  finish(key_file, PEM_write_PrivateKey(key_file, key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1, key_path);
  const auto certificate_path = folder / certificate_name;
  std::FILE* certificate_file = create_private(certificate_path);
  finish(certificate_file, PEM_write_X509(certificate_file, certificate.get()) == 1, certificate_path);
}

control_config::control_config(const std::filesystem::path& credentials, std::chrono::milliseconds silence,
                               silent_peer peer) {
  constexpr std::chrono::hours for_ever{24 * 365};
  add_message_types<caf::id_block::troupe>();
  load<caf::io::middleman>();
  load<caf::openssl::manager>();
  // Peers check each other against this one certificate: it is its own authority.
  openssl_certificate = (credentials / certificate_name).string();
  openssl_key = (credentials / key_name).string();
  openssl_cafile = openssl_certificate;
  set("scheduler.max-threads", 3);  // director and metrics may each wait for a file; the heart (lifeline.hpp) must not
  set("middleman.heartbeat-interval",
      caf::timespan(std::min<std::chrono::milliseconds>(silence / 5, std::chrono::seconds(1))));
  set("middleman.connection-timeout", peer == silent_peer::is_kept ? caf::timespan(for_ever) : caf::timespan(silence));
}

caf::actor network_of(caf::actor_system& system) {
  return system.middleman().named_broker<caf::io::basp_broker>(caf::atom("BASP"));
}

uint16_t publish(const caf::actor& supervisor, const std::string& address, uint16_t port) {
  caf::actor_system& system = supervisor.home_system();
  const caf::actor_system_config& config = system.config();
  auto [read_end, write_end] = make_feed();
  const auto front = std::make_shared<control_front>(
      front_settings{
          .certificate = config.openssl_certificate, .key = config.openssl_key, .address = address, .port = port},
      [feed = std::make_shared<descriptor>(std::move(write_end))](int peer) { return feed_doorman(*feed, peer); });
  caf::io::middleman& middleman = system.middleman();
  auto& multiplexer = dynamic_cast<caf::io::network::default_multiplexer&>(middleman.backend());
  caf::io::doorman_ptr door = caf::make_counted<control_doorman>(multiplexer, std::move(read_end), front);
  caf::anon_send(network_of(system), caf::publish_atom::value, std::move(door), front->port(),
                 caf::actor_cast<caf::strong_actor_ptr>(supervisor), std::set<std::string>{});
  // Hidden: the system does not wait for it before it closes the doorman, which ends it.
  system.spawn<caf::detached + caf::hidden>([front](caf::blocking_actor*) { front->run(); });
  return front->port();
}

void withdraw(const caf::actor& supervisor) {
  caf::actor_system& system = supervisor.home_system();
  caf::scoped_actor self(system);
  constexpr uint16_t all_ports = 0;
  constexpr std::chrono::seconds patience{10};  // with a network that may have failed
  self->request(network_of(system), patience, caf::unpublish_atom::value, caf::actor_cast<caf::actor_addr>(supervisor),
                all_ports)
      .receive([] {}, [](const caf::error&) { /* it was not there, or nobody answers: no more can be done */ });
}

std::unique_ptr<caf::actor_system> begin_system(caf::actor_system_config& config) {
  std::unique_ptr<caf::actor_system> system;
  // Of a thread that nobody catches exceptions of the C++ runtime ends the process where they are thrown, before
  // anything is destroyed.
  std::thread([&] { system = std::make_unique<caf::actor_system>(config); }).join();
  return system;
}

last_word::last_word(const caf::actor& of) : self_(of.home_system()) { self_->monitor(of); }

void last_word::wait() {
  if (!reason_) {
    self_->receive([this](const caf::down_msg& down) { reason_ = down.reason; });
  }
}

const std::optional<caf::error>& last_word::ended_within(std::chrono::milliseconds time) {
  if (!reason_) {
    self_->receive([this](const caf::down_msg& down) { reason_ = down.reason; }, caf::after(time) >> [] {});
  }
  return reason_;
}

/// One attempt to connect. The manager itself waits for ever for a peer that accepts and says nothing.
static caf::expected<caf::actor> try_connect(caf::actor_system& system, const std::string& host, uint16_t port,
                                             std::chrono::milliseconds patience) {
  caf::scoped_actor self(system);
  caf::expected<caf::actor> reached = caf::make_error(caf::sec::cannot_connect_to_node);
  self->request(system.openssl_manager().actor_handle(), patience, caf::connect_atom::value, host, port)
      .receive(
          [&](const caf::node_id&, const caf::strong_actor_ptr& actor, const std::set<std::string>&) {
            if (actor) {
              reached = caf::actor_cast<caf::actor>(actor);
            }
          },
          [&](caf::error& failure) { reached = std::move(failure); });
  return reached;
}

caf::actor connect(caf::actor_system& system, const std::string& host, uint16_t port,
                   std::chrono::milliseconds patience) {
  const auto give_up = std::chrono::steady_clock::now() + patience;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(give_up - std::chrono::steady_clock::now());
    auto supervisor = try_connect(system, host, port, std::max(left, std::chrono::milliseconds(100)));
    if (supervisor) {
      return *supervisor;
    }
    if (std::chrono::steady_clock::now() > give_up) {
      throw error(errc::lost_peer, "cannot reach the supervisor at {}:{}: {}", host, port,
                  caf::to_string(supervisor.error()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

}  // namespace troupe::actors
