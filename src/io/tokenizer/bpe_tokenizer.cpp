#include "io/tokenizer/bpe_tokenizer.hpp"

#include "io/tokenizer/utf8.hpp"

#include <utility>

namespace troupe::io {

class bpe_tokenizer::stream final : public stream_decoder {
public:
  stream(const bpe_tokenizer& tokens, bool skip_special)
      : tokens_(tokens), skip_special_(skip_special), decoder_(tokens.definition_.decoder()) {}

  std::string push(int32_t id) override {
    const std::string* text = tokens_.definition_.words.text_of(id);
    if (text == nullptr || (skip_special_ && tokens_.is_special(id))) {
      return {};
    }
    return decoder_->push(*text);
  }

  std::string finish() override { return decoder_->finish(); }

private:
  const bpe_tokenizer& tokens_;
  bool skip_special_;
  std::unique_ptr<token_decoder> decoder_;
};

bpe_tokenizer::bpe_tokenizer(bpe_definition definition, const special_ids& specials, uint64_t digest,
                             std::string chat_template)
    : definition_(std::move(definition)), model_(definition_.words, definition_.merges, definition_.options),
      special_(static_cast<size_t>(definition_.words.size())) {
  definition_.merges = {};
  for (const added_token& token : definition_.added) {
    special_.at(static_cast<size_t>(token.id)) = token.special;
    if (!token.normalized || token.special) {
      in_filtered_text_.add(token, token.content);
    }
    if (!token.normalized) {
      in_raw_text_.add(token, token.content);
      continue;
    }
    std::string spelling = token.content;
    for (const normalize_step& step : definition_.normalizers) {
      step(spelling);
    }
    in_normal_text_.add(token, spelling);
  }
  specials_ = specials;
  digest_ = digest;
  chat_template_ = std::move(chat_template);
}

static bool takes_all(const added_token&, size_t, size_t) { return true; }

bool bpe_tokenizer::is_special(int32_t id) const {
  return id >= 0 && static_cast<size_t>(id) < special_.size() && special_[static_cast<size_t>(id)];
}

std::vector<int32_t> bpe_tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  require_utf8_text(text);
  std::vector<int32_t> ids;
  if (add_special_tokens) {
    ids = definition_.prefix_ids;
  }
  const auto lock = model_.lock_cache();
  bool at_start = true;
  in_raw_text_.cut(text, [&](std::string_view part, std::optional<int32_t> id) {
    if (id) {
      ids.push_back(*id);
    } else {
      encode_part(part, takes_all, at_start, lock.owns_lock(), ids);
    }
    at_start = false;
  });
  if (add_special_tokens) {
    ids.insert(ids.end(), definition_.suffix_ids.begin(), definition_.suffix_ids.end());
  }
  return ids;
}

std::vector<int32_t> bpe_tokenizer::encode_filtered(std::string_view text, const special_filter& is_meant) const {
  require_utf8_text(text);
  std::vector<int32_t> ids;
  const auto lock = model_.lock_cache();
  bool at_start = true;
  const auto takes_meant = [&](const added_token& token, size_t begin, size_t end) {
    return !token.special || is_meant(begin, end);
  };
  const auto takes_ordinary = [](const added_token& token, size_t, size_t) { return !token.special; };
  in_filtered_text_.cut(text, takes_meant, [&](std::string_view part, std::optional<int32_t> id) {
    if (id) {
      ids.push_back(*id);
    } else {
      encode_part(part, takes_ordinary, at_start, lock.owns_lock(), ids);
    }
    at_start = false;
  });
  return ids;
}

void bpe_tokenizer::encode_part(std::string_view text, const added_token_finder::agreement& takes, bool at_start,
                                bool use_cache, std::vector<int32_t>& ids) const {
  std::string normal;
  if (!definition_.normalizers.empty()) {
    normal = text;
    for (const normalize_step& step : definition_.normalizers) {
      step(normal);
    }
    text = normal;
  }
  in_normal_text_.cut(text, takes, [&](std::string_view part, std::optional<int32_t> id) {
    if (id) {
      ids.push_back(*id);
    } else {
      encode_words(part, at_start, use_cache, ids);
    }
    at_start = false;
  });
}

void bpe_tokenizer::encode_words(std::string_view text, bool at_start, bool use_cache,
                                 std::vector<int32_t>& ids) const {
  piece_list list{{text}, {}, at_start};
  for (const split_step& step : definition_.splits) {
    step(list);
  }
  for (const std::string_view word : list.pieces) {
    model_.encode_word(word, use_cache, ids);
  }
}

std::unique_ptr<stream_decoder> bpe_tokenizer::make_stream_decoder(bool skip_special) const {
  return std::make_unique<stream>(*this, skip_special);
}

}  // namespace troupe::io
