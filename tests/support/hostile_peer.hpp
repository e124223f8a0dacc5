/// What a stranger can try against a port.
#pragma once

#include <cstdint>
#include <filesystem>

namespace troupe::test {

/// Opens `count` connections to 127.0.0.1:port, one after another, of twelve kinds in turn: connect and close; connect
/// and reset; random bytes; a handshake of CAF's own protocol in the clear; CAF headers with huge lengths; TLS records
/// and handshake messages with huge lengths; half a ClientHello; a ClientHello followed by garbage; TLS without a
/// certificate; TLS with a foreign certificate (of the same name, from `foreign`, a folder of create_credentials); and
/// two kinds that stay open: silent ones, and ones that send a byte of a ClientHello at each turn. Of those the last
/// `held` are kept.
/// Returns how many connections were taken by the other side's system.
int64_t attack(uint16_t port, const std::filesystem::path& foreign, int64_t count, int64_t held);

}  // namespace troupe::test
