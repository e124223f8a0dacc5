/// SHA-256, by which people compare what two machines have: `sha256sum` gives the same.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace troupe {

class sha256 {
public:
  sha256();
  ~sha256();
  sha256(const sha256&) = delete;
  sha256& operator=(const sha256&) = delete;

  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }

  /// Of all that was given, as 64 hexadecimal digits. Ends it: call it once.
  std::string text();

private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace troupe
