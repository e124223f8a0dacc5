/// Prompt and answer as ids: the one place where they are joined, for training, evaluation, scoring and made pairs.
#pragma once

#include "io/jinja/text.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {

/// Text to ids, with nothing added, taking the text for one that begins a sequence. (SentencePiece, and BPE with a
/// prefix space, put a space before such a text.)
using text_encoder = std::function<std::vector<int32_t>(std::string_view text)>;

/// The same of a text whose bytes are marked by where they came from.
using marked_encoder = std::function<std::vector<int32_t>(const jinja::text& text)>;

/// A prompt has the ids that it has when a model is asked with it: those of its text alone. An answer has the ids that
/// it has within the joined text wherever the ids of the joined text begin with those of the prompt. Where they do not,
/// because a token would reach over the boundary, the answer is tokenised apart, as a text that goes on: without what
/// the tokenizer puts before a text that begins.
class text_joiner {
public:
  /// `encode` may be called from whichever thread calls the members.
  explicit text_joiner(text_encoder encode);
  explicit text_joiner(marked_encoder encode);

  std::vector<int32_t> prompt(const jinja::text& text) const { return encode_(text); }
  std::vector<int32_t> prompt(std::string_view text) const { return encode_(jinja::text(text)); }

  /// The ids of `answer` after `prompt`, whose ids are `prompt_ids`. An empty prompt leaves an answer that begins.
  std::vector<int32_t> answer(const jinja::text& prompt, std::span<const int32_t> prompt_ids,
                              const jinja::text& answer) const;
  std::vector<int32_t> answer(std::string_view prompt, std::span<const int32_t> prompt_ids,
                              std::string_view text) const {
    return answer(jinja::text(prompt), prompt_ids, jinja::text(text));
  }

private:
  struct carrier {
    jinja::text text;
    std::vector<int32_t> ids;
  };

  std::optional<std::vector<int32_t>> carried(const carrier& before, const jinja::text& text) const;
  std::vector<int32_t> going_on(const jinja::text& text) const;

  marked_encoder encode_;
  std::vector<carrier> carriers_;  ///< short texts after which another goes on; empty: it makes no difference
};

/// What a tokenizer's own configuration puts around a text (BOS and, rarely, EOS).
struct text_frame {
  std::vector<int32_t> before, after;
};

text_frame frame_of(const tokenizer& tokens);

/// A prompt that an answer is to follow: framed before, not after.
std::vector<int32_t> framed_prompt(const tokenizer& tokens, std::string_view text);

/// The text of a prompt's ids, special tokens that stand in it included, without what frame_of puts before it.
std::string prompt_text(const tokenizer& tokens, std::span<const int32_t> prompt);

/// The text of an answer's ids as it goes on after the prompt: a first space counts, special tokens do not.
std::string answer_text(const tokenizer& tokens, std::span<const int32_t> prompt, std::span<const int32_t> answer);

}  // namespace troupe::io
