#include "io/tokenizer/rules.hpp"

#include "base/error.hpp"
#include "io/tokenizer/utf8.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

namespace troupe::io {
namespace {

struct part {
  size_t begin = 0;
  size_t end = 0;
  bool is_match = false;
};

using matcher = std::function<void(std::string_view, match_budget&, const pattern::match_handler&)>;

// Matches, which may be empty, and what lies between them, in order.
std::vector<part> parts_of(std::string_view text, const matcher& match, match_budget& budget, bool invert) {
  std::vector<part> parts;
  size_t done = 0;
  match(text, budget, [&](size_t begin, size_t end) {
    if (begin > done) {
      parts.push_back({done, begin, invert});
    }
    parts.push_back({begin, end, !invert});
    done = end;
  });
  if (done < text.size()) {
    parts.push_back({done, text.size(), invert});
  }
  return parts;
}

std::vector<part> merge_parts(const std::vector<part>& parts, split_behaviour behaviour) {
  std::vector<part> merged;
  bool previous = false;
  for (const part& next : parts) {
    const bool joins =
        !merged.empty() && ((behaviour == split_behaviour::contiguous && next.is_match == merged.back().is_match) ||
                            (behaviour == split_behaviour::merged_with_previous && next.is_match && !previous));
    previous = next.is_match;
    if (joins) {
      merged.back().end = next.end;
    } else {
      merged.push_back(next);
    }
  }
  return merged;
}

// From the end: a match joins the part after it, unless that is a match too.
std::vector<part> merge_with_next(const std::vector<part>& parts) {
  std::vector<part> merged;
  bool following = false;
  for (auto next = parts.rbegin(); next != parts.rend(); ++next) {
    if (!merged.empty() && next->is_match && !following) {
      merged.back().begin = next->begin;
    } else {
      merged.push_back(*next);
    }
    following = next->is_match;
  }
  std::reverse(merged.begin(), merged.end());
  return merged;
}

void append_parts(const std::vector<part>& cut, std::string_view text, split_behaviour behaviour,
                  std::vector<std::string_view>& pieces) {
  std::vector<part> parts = cut;
  if (behaviour == split_behaviour::merged_with_next) {
    parts = merge_with_next(parts);
  } else if (behaviour == split_behaviour::contiguous || behaviour == split_behaviour::merged_with_previous) {
    parts = merge_parts(parts, behaviour);
  }
  for (const part& p : parts) {
    if (p.end > p.begin && (behaviour != split_behaviour::removed || !p.is_match)) {
      pieces.push_back(text.substr(p.begin, p.end - p.begin));
    }
  }
}

split_step make_split(matcher match, split_behaviour behaviour, bool invert) {
  return [match = std::move(match), behaviour, invert](piece_list& list) {
    std::vector<std::string_view> pieces;
    for (const std::string_view piece : list.pieces) {
      append_parts(parts_of(piece, match, list.budget, invert), piece, behaviour, pieces);
    }
    list.pieces = std::move(pieces);
  };
}

matcher match_pattern(std::string_view expression) {
  auto compiled = std::make_shared<const pattern>(expression);
  return [compiled](std::string_view text, match_budget& budget, const pattern::match_handler& on_match) {
    compiled->for_each_match(text, budget, on_match);
  };
}

matcher match_literal(std::string literal) {
  return [literal = std::move(literal)](std::string_view text, match_budget&, const pattern::match_handler& on_match) {
    for (size_t at = text.find(literal); at != std::string_view::npos; at = text.find(literal, at + literal.size())) {
      on_match(at, at + literal.size());
    }
  };
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  std::string result;
  size_t done = 0;
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, done)) {
    result.append(text, done, at - done);
    result += to;
    done = at + from.size();
  }
  if (done > 0) {
    result.append(text, done);
    text = std::move(result);
  }
}

void normalize(std::string& text, utf8proc_option_t options) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; })) {
    return;
  }
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                             static_cast<utf8proc_ssize_t>(text.size()), &mapped, options);
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  if (size < 0) {
    throw error(errc::bad_argument, "a text of {} bytes cannot be normalised: {}", text.size(), utf8proc_errmsg(size));
  }
  text.assign(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
}

}  // namespace

normalize_step make_unicode_normalizer(std::string_view form) {
  const auto with = [](int options) -> normalize_step {
    return [options](std::string& text) { normalize(text, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | options)); };
  };
  if (form == "NFC") {
    return with(UTF8PROC_COMPOSE);
  }
  if (form == "NFD") {
    return with(UTF8PROC_DECOMPOSE);
  }
  if (form == "NFKC") {
    return with(UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
  }
  if (form == "NFKD") {
    return with(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
  }
  throw error(errc::unsupported, "normalizer \"{}\" is not supported (supported: NFC, NFD, NFKC, NFKD)", form);
}

normalize_step make_prepend(std::string prefix) {
  return [prefix = std::move(prefix)](std::string& text) {
    if (!text.empty()) {
      text.insert(0, prefix);
    }
  };
}

normalize_step make_replace(std::string from, std::string to) {
  if (from.empty()) {
    throw error(errc::bad_file, "normalizer \"Replace\" has an empty pattern");
  }
  return [from = std::move(from), to = std::move(to)](std::string& text) { replace_all(text, from, to); };
}

normalize_step make_pattern_replace(std::string_view expression, std::string to) {
  return [match = match_pattern(expression), to = std::move(to)](std::string& text) {
    match_budget budget;
    std::string result;
    for (const part& p : parts_of(text, match, budget, false)) {
      result.append(p.is_match ? to : text.substr(p.begin, p.end - p.begin));
    }
    text = std::move(result);
  };
}

split_step make_pattern_split(std::string_view expression, split_behaviour behaviour, bool invert) {
  return make_split(match_pattern(expression), behaviour, invert);
}

split_step make_literal_split(std::string literal, split_behaviour behaviour, bool invert) {
  if (literal.empty()) {
    throw error(errc::bad_file, "pre_tokenizer \"Split\" has an empty pattern");
  }
  return make_split(match_literal(std::move(literal)), behaviour, invert);
}

split_step make_byte_level_split(bool add_prefix_space, bool use_pattern) {
  const split_step by_pattern =
      use_pattern ? make_pattern_split(gpt2_pattern(), split_behaviour::isolated, false) : split_step();
  return [add_prefix_space, by_pattern](piece_list& list) {
    if (add_prefix_space) {
      for (std::string_view& piece : list.pieces) {
        if (!piece.starts_with(' ')) {
          piece = list.storage.emplace_back(" " + std::string(piece));
        }
      }
    }
    if (by_pattern) {
      by_pattern(list);
    }
  };
}

split_step make_metaspace_split(std::string replacement, prepend_scheme scheme, bool split) {
  const split_step cut =
      split ? make_literal_split(replacement, split_behaviour::merged_with_next, false) : split_step();
  return [replacement, scheme, cut](piece_list& list) {
    bool first = list.at_start;
    for (std::string_view& piece : list.pieces) {
      std::string text(piece);
      replace_all(text, " ", replacement);
      const bool wanted = scheme == prepend_scheme::always || (scheme == prepend_scheme::first && first);
      if (wanted && !text.starts_with(replacement)) {
        text.insert(0, replacement);
      }
      first = false;
      piece = list.storage.emplace_back(std::move(text));
    }
    if (cut) {
      cut(list);
    }
  };
}

split_step make_byte_spelling() {
  return [](piece_list& list) {
    for (std::string_view& piece : list.pieces) {
      std::string& spelling = list.storage.emplace_back();
      for (const char c : piece) {
        spelling += byte_alphabet()[static_cast<uint8_t>(c)];
      }
      piece = spelling;
    }
  };
}

split_step make_byte_reading() {
  return [](piece_list& list) {
    for (std::string_view& piece : list.pieces) {
      piece = list.storage.emplace_back(bytes_of_token(piece));
    }
  };
}

std::string_view gpt2_pattern() {
  return R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
}

std::string_view qwen2_pattern() {
  return R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
         R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
}

}  // namespace troupe::io
