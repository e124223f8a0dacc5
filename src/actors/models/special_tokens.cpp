#include "actors/models/special_tokens.hpp"

#include "actors/models/model_fit.hpp"
#include "io/chat/chat.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace troupe::actors {

static std::vector<int32_t> known_once(std::vector<int32_t> ids, int64_t vocabulary) {
  std::erase_if(ids, [&](int32_t id) { return id < 0 || id >= vocabulary; });
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

std::vector<int32_t> end_tokens_of(const model& m) {
  return known_once(named_end_ids(m), m.net.description().vocabulary);
}

std::optional<int32_t> end_token_of(const model& m, const io::tokenizer& tokens) {
  if (tokens.eos_id()) {
    return tokens.eos_id();
  }
  for (const int32_t id : named_end_ids(m)) {
    if (id >= 0 && id < m.net.description().vocabulary) {
      return id;
    }
  }
  return std::nullopt;
}

std::vector<int32_t> stop_tokens_of(const model& m, const io::tokenizer& tokens) {
  std::vector<int32_t> ids = end_tokens_of(m);
  if (const auto eos = tokens.eos_id()) {
    ids.push_back(*eos);
  }
  return known_once(std::move(ids), m.net.description().vocabulary);
}

int64_t pad_token_of(const io::tokenizer& tokens) { return tokens.pad_id().value_or(tokens.eos_id().value_or(0)); }

/// The sets that say how their turns are written. Of others nobody knows before they are read whether they hold turns.
static std::vector<const io::data_section*> sets_with_template(const io::job& job) {
  std::vector<const io::data_section*> sets;
  for (const io::data_section& set : job.data) {
    if (!set.chat_template.empty() || set.format == io::data_format::conversations) {
      sets.push_back(&set);
    }
  }
  return sets;
}

learned_turns learned_turns_of(const io::job& job, const io::tokenizer* tokens) {
  learned_turns out;
  std::set<std::string> named;
  for (const io::data_section* set : sets_with_template(job)) {
    named.insert(set->chat_template.empty() ? "model" : set->chat_template);
    const std::optional<int32_t> end =
        tokens == nullptr
            ? std::nullopt
            : io::end_of_turn_token(io::chat_format::chosen(io::chat_settings_of(*set), *tokens), *tokens);
    if (end && std::find(out.ends.begin(), out.ends.end(), *end) == out.ends.end()) {
      out.ends.push_back(*end);
    }
  }
  if (named.size() == 1 && *named.begin() != "model") {
    out.chat_template = io::chat_template_source(*named.begin());
  }
  return out;
}

learned_turns learned_turns_of(const io::job& job) {
  return sets_with_template(job).empty() ? learned_turns()
                                         : learned_turns_of(job, own_tokenizer(job.model.policy).get());
}

io::example_rules example_rules_of(const io::job& job, std::shared_ptr<const io::tokenizer> tokens) {
  const auto plain = [tokens](std::string_view text) { return tokens->encode(text, false); };
  const auto rendered = [tokens](const io::jinja::text& text) { return io::encode_chat(*tokens, text); };
  return {
      .texts = io::text_joiner(io::text_encoder(plain)),
      .chats = io::text_joiner(io::marked_encoder(rendered)),
      .start = io::frame_of(*tokens).before,
      .end = tokens->eos_id(),
      .length = job.length,
      .format_of =
          [tokens](const io::data_section& set) { return io::chat_format::chosen(io::chat_settings_of(set), *tokens); },
      .tokens = tokens,
      .spelled = std::make_shared<const io::special_token_counter>(*tokens)};
}

}  // namespace troupe::actors
