#include "io/tokenizer/added_tokens.hpp"

#include "io/tokenizer/utf8.hpp"

#include <utf8proc.h>

#include <algorithm>

namespace troupe::io {
namespace {

// Unicode's White_Space.
bool is_space(uint32_t code) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
  case UTF8PROC_CATEGORY_ZS:
  case UTF8PROC_CATEGORY_ZL:
  case UTF8PROC_CATEGORY_ZP:
    return true;
  default:
    return (code >= 0x09 && code <= 0x0D) || code == 0x85;
  }
}

// \w of Unicode's regular expressions (UTS 18): alphabetic characters, marks, digits, connectors, joiners.
bool is_word(uint32_t code) {
  const bool enclosed_letter = (code >= 0x24B6 && code <= 0x24E9) || (code >= 0x1F130 && code <= 0x1F149) ||
                               (code >= 0x1F150 && code <= 0x1F169) || (code >= 0x1F170 && code <= 0x1F189);
  const bool joiner = code == 0x200C || code == 0x200D;
  if (enclosed_letter || joiner) {
    return true;
  }
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
  case UTF8PROC_CATEGORY_LU:
  case UTF8PROC_CATEGORY_LL:
  case UTF8PROC_CATEGORY_LT:
  case UTF8PROC_CATEGORY_LM:
  case UTF8PROC_CATEGORY_LO:
  case UTF8PROC_CATEGORY_MN:
  case UTF8PROC_CATEGORY_MC:
  case UTF8PROC_CATEGORY_ME:
  case UTF8PROC_CATEGORY_ND:
  case UTF8PROC_CATEGORY_NL:
  case UTF8PROC_CATEGORY_PC:
    return true;
  default:
    return false;
  }
}

// The start of the character that ends at `end` (valid UTF-8 before it).
size_t character_before(std::string_view text, size_t end) {
  size_t at = end - 1;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) {
    --at;
  }
  return at;
}

size_t skip_spaces_back(std::string_view text, size_t end, size_t limit) {
  while (end > limit) {
    const size_t at = character_before(text, end);
    if (!is_space(read_utf8(text.substr(at)).code)) {
      break;
    }
    end = at;
  }
  return std::max(end, limit);
}

size_t skip_spaces(std::string_view text, size_t at) {
  while (at < text.size()) {
    const utf8_step step = read_utf8(text.substr(at));
    if (step.what != utf8_step::kind::character || !is_space(step.code)) {
      break;
    }
    at += step.length;
  }
  return at;
}

bool touches_word(std::string_view text, size_t begin, size_t end) {
  return (begin > 0 && is_word(read_utf8(text.substr(character_before(text, begin))).code)) ||
         (end < text.size() && is_word(read_utf8(text.substr(end)).code));
}

}  // namespace

void added_token_finder::add(const added_token& token, std::string_view spelling) {
  if (spelling.empty()) {
    return;
  }
  starts_[static_cast<uint8_t>(spelling[0])] = true;
  uint32_t node = 0;
  for (const char c : spelling) {
    const uint64_t key = uint64_t{node} << 8 | static_cast<uint8_t>(c);
    const auto [child, added] = children_.try_emplace(key, static_cast<uint32_t>(token_of_node_.size()));
    if (added) {
      token_of_node_.push_back(-1);
    }
    node = child->second;
  }
  if (token_of_node_[node] < 0) {
    token_of_node_[node] = static_cast<int32_t>(tokens_.size());
    tokens_.push_back(token);
  }
}

std::optional<added_token_finder::match> added_token_finder::longest_at(std::string_view text, size_t at,
                                                                        const agreement& takes) const {
  std::optional<match> longest;
  uint32_t node = 0;
  for (size_t i = at; i < text.size(); ++i) {
    const auto child = children_.find(uint64_t{node} << 8 | static_cast<uint8_t>(text[i]));
    if (child == children_.end()) {
      break;
    }
    node = child->second;
    const int32_t place = token_of_node_[node];
    if (place >= 0 && takes(tokens_[static_cast<size_t>(place)], at, i + 1)) {
      longest = match{at, i + 1, &tokens_[static_cast<size_t>(place)]};
    }
  }
  return longest;
}

void added_token_finder::cut(std::string_view text,
                             const std::function<void(std::string_view, std::optional<int32_t>)>& on_part) const {
  cut(
      text, [](const added_token&, size_t, size_t) { return true; }, on_part);
}

void added_token_finder::cut(std::string_view text, const agreement& takes,
                             const std::function<void(std::string_view, std::optional<int32_t>)>& on_part) const {
  size_t done = 0;
  size_t at = 0;
  while (at < text.size()) {
    const auto found = starts_[static_cast<uint8_t>(text[at])] ? longest_at(text, at, takes) : std::optional<match>();
    if (!found) {
      ++at;
      continue;
    }
    at = found->end;
    const added_token& token = *found->token;
    if (token.single_word && touches_word(text, found->begin, found->end)) {
      continue;
    }
    const size_t begin = token.lstrip ? skip_spaces_back(text, found->begin, done) : found->begin;
    const size_t end = token.rstrip ? skip_spaces(text, found->end) : found->end;
    if (begin > done) {
      on_part(text.substr(done, begin - done), std::nullopt);
    }
    on_part(text.substr(begin, end - begin), token.id);
    done = end;
    at = end;
  }
  if (done < text.size()) {
    on_part(text.substr(done), std::nullopt);
  }
}

}  // namespace troupe::io
