#include "io/rewards/lexicon.hpp"

#include "base/error.hpp"
#include "io/datasets/lines.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace troupe::io {

static bool is_word_byte(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '\'' || c > 0x7F;
}

static std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

/// The next word of the text, which loses it; empty at the end.
static std::string next_word(std::string_view& text) {
  while (!text.empty()) {
    size_t begin = 0;
    while (begin < text.size() && !is_word_byte(static_cast<unsigned char>(text[begin]))) {
      ++begin;
    }
    size_t end = begin;
    while (end < text.size() && is_word_byte(static_cast<unsigned char>(text[end]))) {
      ++end;
    }
    std::string_view word = text.substr(begin, end - begin);
    text.remove_prefix(end);
    while (!word.empty() && word.front() == '\'') {
      word.remove_prefix(1);
    }
    while (!word.empty() && word.back() == '\'') {
      word.remove_suffix(1);
    }
    if (!word.empty()) {
      return lower(word);
    }
  }
  return "";
}

static void read_lexicon(line_reader& lines, std::unordered_map<std::string, double>& words) {
  std::string line;
  while (lines.next(line)) {
    if (line.empty()) {
      continue;
    }
    require_utf8(line, fmt::format("{}, line {}", lines.name(), lines.line()));
    const size_t tab = line.find('\t');
    const std::string_view rest = tab == std::string::npos ? "" : std::string_view(line).substr(tab + 1);
    const std::string_view number = rest.substr(0, rest.find('\t'));
    double value = 0;
    const auto result = std::from_chars(number.data(), number.data() + number.size(), value);
    if (tab == 0 || number.empty() || result.ptr != number.data() + number.size() || !std::isfinite(value)) {
      throw error(errc::bad_file, "{}, line {}: is not word TAB valence: \"{}\"", lines.name(), lines.line(), line);
    }
    words[lower(std::string_view(line).substr(0, tab))] = value;
  }
}

lexicon lexicon::parse(std::string_view text, const std::string& name) {
  lexicon out;
  line_reader lines(text_source(text), name);
  read_lexicon(lines, out.words_);
  return out;
}

lexicon lexicon::load(const std::string& path) {
  lexicon out;
  line_reader lines(open_text(path), path);
  read_lexicon(lines, out.words_);
  return out;
}

valence lexicon::score(std::string_view text) const {
  valence out;
  for (std::string word = next_word(text); !word.empty(); word = next_word(text)) {
    ++out.words;
    const auto found = words_.find(word);
    if (found != words_.end()) {
      ++out.matched;
      out.sum += found->second;
    }
  }
  constexpr double vader_alpha = 15.0;
  out.normalised = out.sum / std::sqrt(out.sum * out.sum + vader_alpha);
  out.per_hundred_words = out.words > 0 ? 100.0 * out.sum / static_cast<double>(out.words) : 0.0;
  return out;
}

}  // namespace troupe::io
