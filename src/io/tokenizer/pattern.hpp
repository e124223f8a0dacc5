/// Regular expressions of tokenizer files, by PCRE2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

namespace troupe::io {

/// What matching may cost beyond a fixed sum for each byte, so that a pattern of a hostile file ends. One for each text, not
/// for each match: thousands of matches that are each just bearable are not.
class match_budget {
public:
  /// Takes `steps` of PCRE2's; false where there are not so many left.
  bool take(uint32_t steps) {
    const bool enough = steps <= left_;
    left_ -= enough ? steps : left_;
    return enough;
  }

private:
  uint32_t left_ = 50'000'000;  // about a second
};

/// A compiled expression, written as for Oniguruma: see oniguruma.hpp.
class pattern {
public:
  /// Errors  unsupported: those of pcre2_of_oniguruma, or, with PCRE2's reason and position, that it does not compile.
  explicit pattern(std::string_view expression);
  ~pattern();
  pattern(pattern&&) noexcept;
  pattern& operator=(pattern&&) noexcept;

  using match_handler = std::function<void(size_t begin, size_t end)>;

  /// Calls `on_match` for each match in `text` (valid UTF-8), from left to right, none overlapping; empty ones too, but for
  /// one that directly follows a match.
  /// Errors  unsupported, with the beginning of the text, when the budget is spent or
  /// a match takes too much memory.
  void for_each_match(std::string_view text, match_budget& budget, const match_handler& on_match) const;

private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace troupe::io
