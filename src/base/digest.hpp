/// 64-bit content digests (xxHash3), for checksums of checkpoints and for telling jobs, models and data apart.
/// Not cryptographic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace troupe {

/// Of bytes given at once.
uint64_t digest(std::span<const std::byte> bytes);
uint64_t digest(std::string_view text);

/// Of bytes given piece by piece: equal to the digest of their concatenation.
class digest_stream {
public:
  digest_stream();
  ~digest_stream();
  digest_stream(digest_stream&&) noexcept;
  digest_stream& operator=(digest_stream&&) noexcept;

  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);
  uint64_t value() const;

private:
  struct state;
  std::unique_ptr<state> state_;
};

/// Sixteen hexadecimal digits, as digests are written in files.
std::string digest_text(uint64_t digest);

}  // namespace troupe
