#include "io/tokenizer/pattern.hpp"

#include "base/error.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

namespace troupe::io {
namespace {

// Enough for any sane pattern on megabytes of text; a pattern from a hostile file ends here instead
// of never.
constexpr uint32_t match_limit = 50'000'000;
constexpr uint32_t heap_limit_kib = 256 * 1024;
constexpr size_t expression_limit_bytes = 16 * 1024;

struct free_pcre2 {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
};
template <class T> using pcre2_ptr = std::unique_ptr<T, free_pcre2>;

std::string reason_of(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace

std::string with_unicode_spaces(std::string_view expression) {
  constexpr std::string_view spaces = R"(\t-\r\x{85}\p{Z})";
  std::string result;
  bool in_class = false;
  for (size_t i = 0; i < expression.size(); ++i) {
    const char c = expression[i];
    if (c == '\\' && i + 1 < expression.size()) {
      const char next = expression[++i];
      if (next == 's') {
        result += in_class ? std::string(spaces) : fmt::format("[{}]", spaces);
      } else if (next == 'S' && !in_class) {
        result += fmt::format("[^{}]", spaces);
      } else {
        result += {c, next};
      }
      continue;
    }
    if (c == '[') {
      in_class = true;
    } else if (c == ']') {
      in_class = false;
    }
    result += c;
  }
  return result;
}

struct pattern::state {
  std::string expression;
  pcre2_ptr<pcre2_code> code;
  pcre2_ptr<pcre2_match_context> limits;
};

pattern::pattern(std::string_view expression) : state_(std::make_unique<state>()) {
  if (expression.size() > expression_limit_bytes) {
    throw error(errc::unsupported, "a pattern of {} bytes: at most {} are handled", expression.size(),
                expression_limit_bytes);
  }
  state_->expression = expression;
  const std::string text = with_unicode_spaces(expression);
  int code = 0;
  PCRE2_SIZE offset = 0;
  state_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &offset, nullptr));
  if (state_->code == nullptr) {
    throw error(errc::unsupported, "pattern \"{}\" does not compile: {} at byte {} of \"{}\"", expression,
                reason_of(code), offset, text);
  }
  // Where executable memory is refused, pcre2_match interprets: slower, same matches.
  pcre2_jit_compile(state_->code.get(), PCRE2_JIT_COMPLETE);
  state_->limits.reset(pcre2_match_context_create(nullptr));
  if (state_->limits == nullptr) {
    throw error(errc::out_of_memory, "no memory for a match context of PCRE2");
  }
  pcre2_set_match_limit(state_->limits.get(), match_limit);
  pcre2_set_heap_limit(state_->limits.get(), heap_limit_kib);
}

pattern::~pattern() = default;
pattern::pattern(pattern&&) noexcept = default;
pattern& pattern::operator=(pattern&&) noexcept = default;

void pattern::for_each_match(std::string_view text, const std::function<void(size_t, size_t)>& on_match) const {
  const pcre2_ptr<pcre2_match_data> data(pcre2_match_data_create_from_pattern(state_->code.get(), nullptr));
  if (data == nullptr) {
    throw error(errc::out_of_memory, "no memory for the match data of PCRE2");
  }
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const auto match = [&](size_t at, uint32_t options) {
    return pcre2_match(state_->code.get(), subject, text.size(), at, options, data.get(), state_->limits.get());
  };
  size_t at = 0;
  while (at < text.size()) {
    // Checking UTF-8 anew for each match would make the walk quadratic.
    int status = match(at, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY);
    if (status == PCRE2_ERROR_JIT_STACKLIMIT) {
      status = match(at, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY | PCRE2_NO_JIT);
    }
    if (status == PCRE2_ERROR_NOMATCH) {
      return;
    }
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data.get());
    if (status < 0 || range[1] <= range[0] || range[0] < at) {  // \K can turn a match around
      throw error(errc::unsupported, "pattern \"{}\" failed at byte {} of a text: {}", state_->expression, at,
                  status < 0 ? reason_of(status) : "no forward match");
    }
    on_match(range[0], range[1]);
    at = range[1];
  }
}

}  // namespace troupe::io
