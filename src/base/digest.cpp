#include "base/digest.hpp"

#include <fmt/format.h>
#include <xxhash.h>

namespace troupe {

uint64_t digest(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

uint64_t digest(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }

struct digest_stream::state {
  XXH3_state_t* xxh = XXH3_createState();

  state() { XXH3_64bits_reset(xxh); }
  ~state() { XXH3_freeState(xxh); }
  state(const state&) = delete;
  state& operator=(const state&) = delete;
};

digest_stream::digest_stream() : state_(std::make_unique<state>()) {}
digest_stream::~digest_stream() = default;
digest_stream::digest_stream(digest_stream&&) noexcept = default;
digest_stream& digest_stream::operator=(digest_stream&&) noexcept = default;

void digest_stream::update(std::span<const std::byte> bytes) {
  XXH3_64bits_update(state_->xxh, bytes.data(), bytes.size());
}

void digest_stream::update(std::string_view text) { update(std::as_bytes(std::span(text.data(), text.size()))); }

uint64_t digest_stream::value() const { return XXH3_64bits_digest(state_->xxh); }

std::string digest_text(uint64_t digest) { return fmt::format("{:016x}", digest); }

}  // namespace troupe
