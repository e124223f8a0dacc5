// One value: from the text of an INI file into a field and back.
#include "base/near_names.hpp"
#include "io/job/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace troupe::io {

bool limits::contain(double x) const {
  const bool above = open_low ? x > low : x >= low;
  const bool below = open_high ? x < high : x <= high;
  return above && below;
}

std::string limits::text() const {
  if (std::isinf(low) && std::isinf(high)) {
    return "";
  }
  if (std::isinf(high)) {
    return fmt::format("{} {}", open_low ? "more than" : "at least", low);
  }
  return fmt::format("{} {} x {} {}", low, open_low ? "<" : "<=", open_high ? "<" : "<=", high);
}

static std::string nearest_word(std::string_view given, std::span<const std::string_view> words) {
  return did_you_mean(given, std::vector<std::string>(words.begin(), words.end()));
}

static std::string words_text(std::span<const std::string_view> words) {
  return fmt::format("{}", fmt::join(words, " | "));
}

static std::string with_range(const char* type, const limits& range) {
  const std::string text = range.text();
  return text.empty() ? type : fmt::format("{}, {}", type, text);
}

std::string value_domain(const option& option) {
  struct visitor {
    const io::option& row;
    std::string operator()(bool*) const { return "true | false"; }
    std::string operator()(int64_t*) const { return with_range("integer", row.range); }
    std::string operator()(uint64_t*) const { return "integer, 0 to 2^64 - 1"; }
    std::string operator()(double*) const { return with_range("number", row.range); }
    std::string operator()(std::string*) const {
      return row.text == text_kind::path || row.text == text_kind::run_folder ? "path" : "text";
    }
    std::string operator()(std::vector<std::string>*) const { return "texts (repeat the key)"; }
    std::string operator()(rank_list*) const { return "ranks: 0-3 6 (none: all)"; }
    std::string operator()(const choice_field& f) const { return words_text(f.words); }
    std::string operator()(const choice_list_field& f) const { return "list of " + words_text(f.words); }
  };
  job scratch;
  return std::visit(visitor{option}, option.find(scratch, "x"));
}

std::string rank_text(std::span<const int64_t> ranks) {
  std::string line;
  for (size_t first = 0, next = 0; first < ranks.size(); first = next) {
    next = first + 1;
    while (next < ranks.size() && ranks[next] == ranks[next - 1] + 1) {
      ++next;
    }
    line += fmt::format("{}{}", line.empty() ? "" : " ", ranks[first]);
    line += next - first > 1 ? fmt::format("-{}", ranks[next - 1]) : "";
  }
  return line;
}

std::vector<std::string> write_field(const field& field) {
  struct visitor {
    using texts = std::vector<std::string>;
    texts operator()(const bool* v) const { return {*v ? "true" : "false"}; }
    texts operator()(const int64_t* v) const { return {fmt::format("{}", *v)}; }
    texts operator()(const uint64_t* v) const { return {fmt::format("{}", *v)}; }
    texts operator()(const double* v) const { return {fmt::format("{}", *v)}; }
    texts operator()(const std::string* v) const { return {quote_text(*v)}; }
    texts operator()(const choice_field& f) const { return {std::string(f.words[f.get(f.value)])}; }

    texts operator()(const texts* v) const {
      texts out;
      for (const std::string& text : *v) {
        out.push_back(text.empty() ? "\"\"" : quote_text(text));  // bare emptiness is the empty list
      }
      return out.empty() ? texts{""} : out;
    }

    texts operator()(const rank_list* v) const { return {rank_text(v->ranks)}; }

    texts operator()(const choice_list_field& f) const {
      std::string line;
      for (const size_t i : f.get(f.value)) {
        line += line.empty() ? "" : " ";
        line += f.words[i];
      }
      return {line};
    }
  };
  return std::visit(visitor{}, field);
}

template <class T> static bool parse_number(std::string_view text, T& value) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc() && result.ptr == text.data() + text.size();
}

/// The words of values, which stand apart by blanks or commas.
static std::vector<std::string_view> words_among(std::span<const std::string> values) {
  std::vector<std::string_view> words;
  for (std::string_view rest : values) {
    while (!rest.empty()) {
      const size_t end = std::min(rest.find_first_of(" \t,"), rest.size());
      if (end > 0) {
        words.push_back(rest.substr(0, end));
      }
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  return words;
}

constexpr int64_t most_ranks = 100'000;

/// "3", or "0-3", appended to `ranks`. False: it is neither.
static bool read_ranks(std::string_view word, std::vector<int64_t>& ranks) {
  const size_t dash = std::min(word.find('-'), word.size());
  int64_t first = 0;
  int64_t last = 0;
  const std::string_view end = dash < word.size() ? word.substr(dash + 1) : word;
  if (!parse_number(word.substr(0, dash), first) || !parse_number(end, last) || first < 0 || last < first ||
      last >= most_ranks) {
    return false;
  }
  for (int64_t rank = first; rank <= last; ++rank) {
    ranks.push_back(rank);
  }
  return true;
}

/// Reads the texts of one key. Each returns what is wrong.
struct field_reader {
  const limits& range;
  std::span<const std::string> values;

  std::string_view single() const { return values.front(); }

  std::string limit() const { return range.text().empty() ? "" : ", " + range.text(); }

  std::string out_of_range(double x) const {
    return range.contain(x) ? "" : fmt::format("is out of range: give {}", range.text());
  }

  std::string operator()(bool* v) const {
    *v = single() == "true";
    return *v || single() == "false" ? "" : "is neither true nor false";
  }

  std::string operator()(int64_t* v) const {
    return parse_number(single(), *v) ? out_of_range(static_cast<double>(*v)) : "is not an integer: give one" + limit();
  }

  std::string operator()(uint64_t* v) const {
    return parse_number(single(), *v) ? "" : "is not an integer from 0 to 2^64 - 1";
  }

  std::string operator()(double* v) const {
    const bool is_number = parse_number(single(), *v) && !std::isnan(*v) && (range.infinite || std::isfinite(*v));
    return is_number ? out_of_range(*v) : "is not a number: give one" + limit();
  }

  static const char* bad_text() {
    return R"(is malformed: between double quotes stand \n \t \r \" \\ \xHH and UTF-8 text without \x00)";
  }

  std::string operator()(std::string* v) const { return unquote_text(single(), *v) ? "" : bad_text(); }

  std::string operator()(std::vector<std::string>* v) const {
    v->clear();
    if (values.size() == 1 && single().empty()) {
      return "";
    }
    for (const std::string& written : values) {
      if (!unquote_text(written, v->emplace_back())) {
        return bad_text();
      }
    }
    return "";
  }

  std::string operator()(rank_list* v) const {
    std::vector<int64_t> ranks;
    for (const std::string_view word : words_among(values)) {
      if (!read_ranks(word, ranks)) {
        return fmt::format("has no meaning for \"{}\": give ranks and ranges of them, as in 0-3 6", word);
      }
    }
    std::sort(ranks.begin(), ranks.end());
    if (std::adjacent_find(ranks.begin(), ranks.end()) != ranks.end()) {
      return "names a rank twice";
    }
    v->ranks = std::move(ranks);
    return "";
  }

  static std::string not_among(std::string_view word, std::span<const std::string_view> words) {
    return fmt::format("has no meaning for \"{}\": give {}{}", word, words_text(words), nearest_word(word, words));
  }

  std::string operator()(const choice_field& f) const {
    const auto found = std::find(f.words.begin(), f.words.end(), single());
    if (found == f.words.end()) {
      return fmt::format("is none of {}{}", words_text(f.words), nearest_word(single(), f.words));
    }
    f.set(f.value, static_cast<size_t>(found - f.words.begin()));
    return "";
  }

  std::string operator()(const choice_list_field& f) const {
    std::vector<size_t> indices;
    for (const std::string_view word : words_among(values)) {
      const auto found = std::find(f.words.begin(), f.words.end(), word);
      if (found == f.words.end()) {
        return not_among(word, f.words);
      }
      indices.push_back(static_cast<size_t>(found - f.words.begin()));
    }
    f.set(f.value, indices);
    return "";
  }
};

std::string read_field(const field& field, const limits& range, std::span<const std::string> values) {
  return std::visit(field_reader{range, values}, field);
}

}  // namespace troupe::io
