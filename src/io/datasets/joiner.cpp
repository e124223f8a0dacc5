#include "io/datasets/joiner.hpp"

#include <algorithm>
#include <utility>

namespace troupe::io {

/// What follows `head` in `ids`, if they begin with it.
static std::optional<std::vector<int32_t>> rest_after(std::span<const int32_t> head, const std::vector<int32_t>& ids) {
  if (ids.size() < head.size() || !std::equal(head.begin(), head.end(), ids.begin())) {
    return std::nullopt;
  }
  return std::vector<int32_t>(ids.begin() + static_cast<int64_t>(head.size()), ids.end());
}

text_joiner::text_joiner(text_encoder encode)
    : text_joiner(
          marked_encoder([encode = std::move(encode)](const jinja::text& text) { return encode(text.bytes()); })) {}

text_joiner::text_joiner(marked_encoder encode) : encode_(std::move(encode)) {
  // No white space among them: normalisers drop it at the start of a text.
  for (const char* text : {".", "a", "1", ")"}) {
    carrier one{jinja::text(text), encode_(jinja::text(text))};
    if (!one.ids.empty()) {
      carriers_.push_back(std::move(one));
    }
  }
  const auto differs = [&](const carrier& one) {
    const jinja::text next("b");
    const auto after = carried(one, next);
    return after && *after != encode_(next);
  };
  if (std::none_of(carriers_.begin(), carriers_.end(), differs)) {
    carriers_.clear();
  }
}

/// The ids of `text` after the carrier; nothing where a token reaches over the boundary.
std::optional<std::vector<int32_t>> text_joiner::carried(const carrier& before, const jinja::text& text) const {
  jinja::text joined = before.text;
  joined.append(text);
  return rest_after(before.ids, encode_(joined));
}

std::vector<int32_t> text_joiner::going_on(const jinja::text& text) const {
  for (const carrier& before : carriers_) {
    if (auto ids = carried(before, text)) {
      return std::move(*ids);
    }
  }
  return encode_(text);
}

std::vector<int32_t> text_joiner::answer(const jinja::text& prompt, std::span<const int32_t> prompt_ids,
                                         const jinja::text& answer) const {
  if (prompt.empty()) {
    return encode_(answer);
  }
  jinja::text joined = prompt;
  joined.append(answer);
  if (auto ids = rest_after(prompt_ids, encode_(joined))) {
    return std::move(*ids);
  }
  return going_on(answer);
}

text_frame frame_of(const tokenizer& tokens) {
  text_frame frame{.before = tokens.encode("", true), .after = {}};
  const std::optional<int32_t> end = tokens.eos_id();
  const bool ends = end && !frame.before.empty() && frame.before.back() == *end && tokens.bos_id() != end;
  if (ends) {
    frame.before.pop_back();
    frame.after = {*end};
  }
  return frame;
}

std::vector<int32_t> framed_prompt(const tokenizer& tokens, std::string_view text) {
  std::vector<int32_t> ids = frame_of(tokens).before;
  const std::vector<int32_t> own = tokens.encode(text, false);
  ids.insert(ids.end(), own.begin(), own.end());
  return ids;
}

std::string prompt_text(const tokenizer& tokens, std::span<const int32_t> prompt) {
  const std::vector<int32_t> start = frame_of(tokens).before;
  const bool framed = start.size() <= prompt.size() && std::equal(start.begin(), start.end(), prompt.begin());
  return tokens.decode(prompt.subspan(framed ? start.size() : 0), false);
}

std::string answer_text(const tokenizer& tokens, std::span<const int32_t> prompt, std::span<const int32_t> answer) {
  const auto decoder = tokens.make_stream_decoder(true);
  for (const int32_t id : prompt) {
    decoder->push(id);
  }
  std::string text;
  for (const int32_t id : answer) {
    text += decoder->push(id);
  }
  return text + decoder->finish();
}

}  // namespace troupe::io
