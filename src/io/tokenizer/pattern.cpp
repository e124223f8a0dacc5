#include "io/tokenizer/pattern.hpp"

#include "base/error.hpp"
#include "io/files/byte_reader.hpp"
#include "io/tokenizer/oniguruma.hpp"
#include "io/tokenizer/utf8.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <optional>

namespace troupe::io {
namespace {

// Enough for nearly every match of a sane pattern, and free of charge.
constexpr uint32_t free_steps = 1000;
constexpr uint32_t heap_limit_kib = 256 * 1024;
constexpr size_t expression_limit_bytes = 16 * 1024;

struct free_pcre2 {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
  void operator()(pcre2_compile_context* p) const { pcre2_compile_context_free(p); }
};
template <class T> using pcre2_ptr = std::unique_ptr<T, free_pcre2>;

template <class T> pcre2_ptr<T> owned(T* made) {
  if (made == nullptr) {
    throw error(errc::out_of_memory, "no memory for PCRE2");
  }
  return pcre2_ptr<T>(made);
}

std::string reason_of(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

/// Whole characters of the start of a text.
std::string beginning_of(std::string_view text) {
  constexpr size_t most_bytes = 60;
  size_t end = 0;
  while (end < text.size() && end < most_bytes) {
    end += read_utf8(text.substr(end)).length;
  }
  return fmt::format("\"{}\"{}", excerpt(text.substr(0, end)), end < text.size() ? "..." : "");
}

struct range {
  size_t begin = 0;
  size_t end = 0;
};

/// The matches of one text.
class walk {
public:
  walk(const pcre2_code* code, const std::string& expression, std::string_view text, match_budget& budget)
      : code_(code), expression_(expression), text_(text), budget_(budget),
        data_(owned(pcre2_match_data_create_from_pattern(code, nullptr))),
        limits_(owned(pcre2_match_context_create(nullptr))) {
    pcre2_set_heap_limit(limits_.get(), heap_limit_kib);
  }

  /// The first match that starts at `at` or later.
  std::optional<range> find(size_t at) {
    int status = match(at, 0, free_steps);
    if (status == PCRE2_ERROR_MATCHLIMIT) {
      status = find_dearly(at);
    }
    if (status == PCRE2_ERROR_NOMATCH) {
      return std::nullopt;
    }
    const PCRE2_SIZE* found = pcre2_get_ovector_pointer(data_.get());
    if (status < 0) {
      fail(at, reason_of(status));
    }
    return range{found[0], found[1]};
  }

private:
  int match(size_t at, uint32_t options, uint32_t steps) {
    pcre2_set_match_limit(limits_.get(), steps);
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text_.data());
    // Checking UTF-8 anew for each match would make the walk quadratic.
    options |= PCRE2_NO_UTF_CHECK;
    const int status = pcre2_match(code_, subject, text_.size(), at, options, data_.get(), limits_.get());
    return status == PCRE2_ERROR_JIT_STACKLIMIT
               ? pcre2_match(code_, subject, text_.size(), at, options | PCRE2_NO_JIT, data_.get(), limits_.get())
               : status;
  }

  /// Position by position: PCRE2 counts the steps of each start anew, so only then what they cost together is known.
  int find_dearly(size_t at) {
    for (; at <= text_.size(); at = next_character(at)) {
      uint32_t steps = free_steps;
      int status = match(at, PCRE2_ANCHORED, steps);
      while (status == PCRE2_ERROR_MATCHLIMIT) {
        steps *= 2;
        if (!budget_.take(steps)) {
          fail(at, "it takes too many steps");
        }
        status = match(at, PCRE2_ANCHORED, steps);
      }
      if (status != PCRE2_ERROR_NOMATCH) {
        return status;
      }
    }
    return PCRE2_ERROR_NOMATCH;
  }

  size_t next_character(size_t at) const { return at + (at < text_.size() ? read_utf8(text_.substr(at)).length : 1); }

  [[noreturn]] void fail(size_t at, const std::string& reason) const {
    throw error(errc::unsupported, "pattern \"{}\" failed at byte {} of the {} bytes that begin {}: {}", expression_,
                at, text_.size(), beginning_of(text_), reason);
  }

  const pcre2_code* code_;
  const std::string& expression_;
  std::string_view text_;
  match_budget& budget_;
  pcre2_ptr<pcre2_match_data> data_;
  pcre2_ptr<pcre2_match_context> limits_;
};

pcre2_ptr<pcre2_code> compile(std::string_view expression) {
  const std::string text = pcre2_of_oniguruma(expression);
  const auto context = owned(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int code = 0;
  PCRE2_SIZE offset = 0;
  pcre2_ptr<pcre2_code> compiled(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                               PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &offset,
                                               context.get()));
  if (compiled == nullptr) {
    throw error(errc::unsupported, "pattern \"{}\" does not compile: {} at byte {} of \"{}\"", expression,
                reason_of(code), offset, text);
  }
  // Where executable memory is refused, pcre2_match interprets: slower, same matches.
  pcre2_jit_compile(compiled.get(), PCRE2_JIT_COMPLETE);
  return compiled;
}

}  // namespace

struct pattern::state {
  std::string expression;
  pcre2_ptr<pcre2_code> code;
};

pattern::pattern(std::string_view expression) : state_(std::make_unique<state>()) {
  if (expression.size() > expression_limit_bytes) {
    throw error(errc::unsupported, "a pattern of {} bytes: at most {} are handled", expression.size(),
                expression_limit_bytes);
  }
  state_->expression = expression;
  state_->code = compile(expression);
}

pattern::~pattern() = default;
pattern::pattern(pattern&&) noexcept = default;
pattern& pattern::operator=(pattern&&) noexcept = default;

// Source  FindMatches of the onig crate, which the tokenizers library walks with: after an empty match that was just
// given, the search goes on one character later.
void pattern::for_each_match(std::string_view text, match_budget& budget, const match_handler& on_match) const {
  walk matches(state_->code.get(), state_->expression, text, budget);
  std::optional<size_t> last_end;
  for (size_t at = 0; at <= text.size();) {
    const auto found = matches.find(at);
    if (!found) {
      return;
    }
    if (found->begin == found->end && last_end == found->end) {
      at += at < text.size() ? read_utf8(text.substr(at)).length : 1;
      continue;
    }
    on_match(found->begin, found->end);
    at = found->end;
    last_end = at;
  }
}

}  // namespace troupe::io
