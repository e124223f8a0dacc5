#include "io/tokenizer/char_set.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace troupe::io {
namespace {

struct named_items {
  std::string_view name;
  std::string_view items;
};

constexpr std::string_view digits = R"(\p{Nd})";
constexpr std::string_view hex_digits = "0-9A-Fa-f";
constexpr std::string_view spaces = R"(\t-\r\x{85}\p{Z})";
constexpr std::string_view word = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
constexpr std::string_view word_outside_brackets = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}²³¹¼½¾)";

// What brackets and properties have in common.
constexpr std::array common_names{
    named_items{"alnum", R"(\p{Alphabetic}\p{Nd})"},
    named_items{"alpha", R"(\p{Alphabetic})"},
    named_items{"blank", R"(\t\p{Zs})"},
    named_items{"cntrl", R"(\p{Cc})"},
    named_items{"digit", digits},
    named_items{"lower", R"(\p{Lowercase})"},
    named_items{"space", spaces},
    named_items{"upper", R"(\p{Uppercase})"},
    named_items{"xdigit", hex_digits},
    named_items{"word", word},
    named_items{"ascii", R"(\x{0}-\x{7F})"},
};

constexpr std::array property_names{
    named_items{"any", R"(\x{0}-\x{10FFFF})"},
    named_items{"assigned", R"(\P{Cn})"},
    named_items{"punct", R"(\p{P})"},
    named_items{"whitespace", spaces},
    named_items{"alphabetic", R"(\p{Alphabetic})"},
    named_items{"lowercase", R"(\p{Lowercase})"},
    named_items{"uppercase", R"(\p{Uppercase})"},
    named_items{"emoji", R"(\p{Emoji})"},
    named_items{"extendedpictographic", R"(\p{Extended_Pictographic})"},
    named_items{"ideographic", R"(\p{Ideographic})"},
    named_items{"lc", R"(\p{Lu}\p{Ll}\p{Lt})"},
    named_items{"casedletter", R"(\p{Lu}\p{Ll}\p{Lt})"},
};

// Source  Unicode's PropertyValueAliases.txt, gc.
constexpr std::array general_categories{
    named_items{"letter", "L"},
    named_items{"uppercaseletter", "Lu"},
    named_items{"lowercaseletter", "Ll"},
    named_items{"titlecaseletter", "Lt"},
    named_items{"modifierletter", "Lm"},
    named_items{"otherletter", "Lo"},
    named_items{"mark", "M"},
    named_items{"combiningmark", "M"},
    named_items{"nonspacingmark", "Mn"},
    named_items{"spacingmark", "Mc"},
    named_items{"enclosingmark", "Me"},
    named_items{"number", "N"},
    named_items{"decimalnumber", "Nd"},
    named_items{"letternumber", "Nl"},
    named_items{"othernumber", "No"},
    named_items{"punctuation", "P"},
    named_items{"connectorpunctuation", "Pc"},
    named_items{"dashpunctuation", "Pd"},
    named_items{"openpunctuation", "Ps"},
    named_items{"closepunctuation", "Pe"},
    named_items{"initialpunctuation", "Pi"},
    named_items{"finalpunctuation", "Pf"},
    named_items{"otherpunctuation", "Po"},
    named_items{"symbol", "S"},
    named_items{"mathsymbol", "Sm"},
    named_items{"currencysymbol", "Sc"},
    named_items{"modifiersymbol", "Sk"},
    named_items{"othersymbol", "So"},
    named_items{"separator", "Z"},
    named_items{"spaceseparator", "Zs"},
    named_items{"lineseparator", "Zl"},
    named_items{"paragraphseparator", "Zp"},
    named_items{"other", "C"},
    named_items{"control", "Cc"},
    named_items{"format", "Cf"},
    named_items{"surrogate", "Cs"},
    named_items{"privateuse", "Co"},
    named_items{"unassigned", "Cn"},
};

template <size_t size>
std::optional<std::string> look_up(const std::array<named_items, size>& table, std::string_view name) {
  const auto found =
      std::find_if(table.begin(), table.end(), [name](const named_items& entry) { return entry.name == name; });
  return found == table.end() ? std::nullopt : std::optional<std::string>(found->items);
}

std::string loose_name(std::string_view name) {
  std::string loose;
  for (const char c : name) {
    if (c != ' ' && c != '-' && c != '_') {
      loose += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
  }
  return loose;
}

// "lu" -> "Lu"
std::optional<std::string> short_category(const std::string& loose) {
  for (const named_items& category : general_categories) {
    if (loose_name(category.items) == loose) {
      return std::string(category.items);
    }
  }
  return std::nullopt;
}

}  // namespace

char_set char_set::of_items(std::string items) { return {form::bracket, std::move(items)}; }

char_set char_set::complement() const {
  switch (form_) {
  case form::bracket:
    return {form::negated_bracket, content_};
  case form::negated_bracket:
    return {form::bracket, content_};
  case form::expression:
    break;
  }
  return {form::expression, "(?:(?!" + content_ + ")(?s:.))"};
}

char_set unite(const char_set& a, const char_set& b) {
  using form = char_set::form;
  if (a.form_ == form::bracket && b.form_ == form::bracket) {
    return {form::bracket, a.content_ + b.content_};
  }
  // Atomic: what both hold must not be tried twice.
  return {form::expression, "(?>" + a.text() + "|" + b.text() + ")"};
}

char_set intersect(const char_set& a, const char_set& b) {
  return {char_set::form::expression, "(?:(?=" + a.text() + ")" + b.text() + ")"};
}

std::string char_set::text() const {
  switch (form_) {
  case form::bracket:
    return "[" + content_ + "]";
  case form::negated_bracket:
    return "[^" + content_ + "]";
  case form::expression:
    break;
  }
  return content_;
}

char_set escape_set(char letter, bool in_bracket) {
  const char_set word_set = char_set::of_items(std::string(in_bracket ? word : word_outside_brackets));
  switch (letter) {
  case 'd':
    return char_set::of_items(std::string(digits));
  case 'h':
    return char_set::of_items(std::string(hex_digits));
  case 's':
    return char_set::of_items(std::string(spaces));
  case 'S':  // an item of its own, so that [^\S\n] stays one bracket
    return char_set::of_items(R"(\P{White_Space})");
  case 'D':
    return char_set::of_items(R"(\P{Nd})");
  case 'H':
    return char_set::of_items(std::string(hex_digits)).complement();
  case 'W':
    return word_set.complement();
  default:
    return word_set;
  }
}

std::optional<char_set> posix_set(std::string_view name) {
  if (name == "graph") {
    return char_set::of_items(R"(\p{Z}\p{Cc}\p{Cs}\p{Cn})").complement();
  }
  if (name == "print") {
    return char_set::of_items(R"(\p{Zl}\p{Zp}\p{Cc}\p{Cs}\p{Cn})").complement();
  }
  if (name == "punct") {
    return char_set::of_items(R"(\p{P}\p{S})");
  }
  const auto items = look_up(common_names, name);
  return items ? std::optional(char_set::of_items(*items)) : std::nullopt;
}

char_set property_set(std::string_view name) {
  const std::string loose = loose_name(name);
  for (const auto& items : {look_up(property_names, loose), look_up(common_names, loose)}) {
    if (items) {
      return char_set::of_items(*items);
    }
  }
  if (loose == "graph" || loose == "print") {
    return *posix_set(loose);
  }
  auto category = short_category(loose);
  category = category ? category : look_up(general_categories, loose);
  return char_set::of_items(category ? "\\p{" + *category + "}" : "\\p{sc:" + loose + "}");
}

}  // namespace troupe::io
