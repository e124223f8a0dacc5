/// Sets of characters, as expressions of PCRE2 that match exactly one character. Internal to io/tokenizer.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace troupe::io {

class char_set {
public:
  /// Of what may stand within one bracket: `a-z`, `\p{L}`.
  static char_set of_items(std::string items);

  char_set complement() const;
  friend char_set unite(const char_set& a, const char_set& b);
  friend char_set intersect(const char_set& a, const char_set& b);

  /// Matches one character of the set; can take a quantifier.
  std::string text() const;

private:
  enum class form { bracket, negated_bracket, expression };
  char_set(form how, std::string content) : form_(how), content_(std::move(content)) {}

  form form_;
  std::string content_;
};

char_set unite(const char_set& a, const char_set& b);
char_set intersect(const char_set& a, const char_set& b);

/// The sets of Oniguruma's \d, \h, \s, \w by their letter; of its POSIX brackets and properties by their name, which may
/// be written in any case and with spaces, hyphens and underscores. A property that is none of the known ones is taken
/// for a script: PCRE2 refuses it where it is none. Which characters have a property is for PCRE2's tables to say: they
/// know Unicode as of their own version, Oniguruma's as of another. Within a bracket \w lacks six characters of Latin-1
/// (powers and fractions: ², ½) that it has outside.
char_set escape_set(char letter, bool in_bracket);
std::optional<char_set> posix_set(std::string_view name);
char_set property_set(std::string_view name);

}  // namespace troupe::io
