/// Regular expressions of tokenizer files, by PCRE2.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace troupe::io {

/// A compiled expression. The files are written for Oniguruma; what differs is \s, which here too
/// is Unicode's White_Space (PCRE2's own has U+180E besides).
class pattern {
public:
  /// Errors  unsupported, with PCRE2's reason and position, when `expression` does not compile.
  explicit pattern(std::string_view expression);
  ~pattern();
  pattern(pattern&&) noexcept;
  pattern& operator=(pattern&&) noexcept;

  /// Calls `on_match(begin, end)` for each match in `text` (valid UTF-8), from left to right, none
  /// empty, none overlapping.
  /// Errors  unsupported when matching exceeds its limits of steps and memory.
  void for_each_match(std::string_view text, const std::function<void(size_t, size_t)>& on_match) const;

private:
  struct state;
  std::unique_ptr<state> state_;
};

/// `expression` with every \s and \S spelt out.
std::string with_unicode_spaces(std::string_view expression);

}  // namespace troupe::io
