#include "io/tokenizer/sentencepiece_tokenizer.hpp"

#include "base/error.hpp"
#include "io/tokenizer/bpe.hpp"
#include "io/tokenizer/token_decoder.hpp"
#include "io/tokenizer/utf8.hpp"

#include <sentencepiece_processor.h>

#include <utility>

namespace troupe::io {
namespace {

constexpr std::string_view space_mark = "\xE2\x96\x81";  // U+2581

std::string with_spaces(std::string_view piece) {
  std::string text;
  while (!piece.empty()) {
    const bool is_space = piece.starts_with(space_mark);
    text += is_space ? ' ' : piece.front();
    piece.remove_prefix(is_space ? space_mark.size() : 1);
  }
  return text;
}

}  // namespace

class sentencepiece_tokenizer::stream final : public stream_decoder {
public:
  stream(const sentencepiece_tokenizer& tokens, bool skip_special) : tokens_(tokens), skip_special_(skip_special) {}

  std::string push(int32_t id) override {
    if (id < 0 || id >= tokens_.vocabulary_size() || (skip_special_ && tokens_.is_special(id))) {
      return {};
    }
    const piece& next = tokens_.pieces_[static_cast<size_t>(id)];
    if (next.kind == piece_kind::byte) {
      started_ = true;
      return bytes_.push(std::string(1, static_cast<char>(next.byte)));
    }
    std::string text = bytes_.finish();
    if (next.kind == piece_kind::added || next.kind == piece_kind::added_special) {
      started_ = tokens_.continuing_ != nullptr;
      return text + next.text;
    }
    if (next.kind == piece_kind::unknown) {
      text += next.text;
    } else if (next.kind == piece_kind::text) {
      text += surface(next.text);
    }
    started_ = started_ || !text.empty();
    return text;
  }

  std::string finish() override {
    started_ = false;
    return bytes_.finish();
  }

private:
  std::string surface(std::string_view text) {
    if (!started_ && tokens_.drops_leading_spaces_) {
      while (text.starts_with(space_mark)) {
        text.remove_prefix(space_mark.size());
      }
    } else if (!started_ && tokens_.drops_first_space_ && text.starts_with(space_mark)) {
      text.remove_prefix(space_mark.size());
      started_ = true;
    }
    return with_spaces(text);
  }

  const sentencepiece_tokenizer& tokens_;
  bool skip_special_;
  bool started_ = false;  // text has begun, or its first space was dropped
  utf8_stream bytes_{utf8_stream::replacement::per_byte};
};

std::unique_ptr<sentencepiece_tokenizer::processor> sentencepiece_tokenizer::load(std::string_view model,
                                                                                  const std::string& where) {
  auto loaded = std::make_unique<processor>();
  const auto status = loaded->LoadFromSerializedProto(model);
  if (!status.ok() || loaded->GetPieceSize() == 0) {
    throw error(errc::bad_file, "{}: not a SentencePiece model: {}", where,
                status.ok() ? "it has no pieces" : status.message());
  }
  return loaded;
}

sentencepiece_tokenizer::sentencepiece_tokenizer(std::string_view model, const tokenizer_config& config,
                                                 uint64_t digest, const std::string& where)
    : processor_(load(model, where)) {
  read_pieces(where);
  probe_leading_spaces();
  add_tokens(config);
  specials_ = find_specials(config, [this](std::string_view text) { return find(text); });
  set_frame(config);
  if (!config.legacy && !added_.empty()) {
    // A message of Protocol Buffers goes on where another ends: normalizer_spec { add_dummy_prefix: false }
    continuing_ = load(std::string(model) + std::string("\x1A\x02\x18\x00", 4), where);
  }
  digest_ = digest;
  chat_template_ = config.chat_template;
}

void sentencepiece_tokenizer::add_tokens(const tokenizer_config& config) {
  const auto find_piece = [this](std::string_view text) { return find(text); };
  for (const added_token& token : place_added_tokens({}, config, find_piece, vocabulary_size())) {
    if (token.in_text) {
      add_token(token, config.where);
    }
  }
  for (size_t id = 0; id < pieces_.size(); ++id) {
    if (pieces_[id].kind == piece_kind::control) {
      in_filtered_text_.add({.id = static_cast<int32_t>(id), .content = pieces_[id].text}, pieces_[id].text);
    }
  }
}

void sentencepiece_tokenizer::add_token(const added_token& token, const std::string& where) {
  if (token.id >= token_id_limit) {
    throw error(errc::bad_file, "{}: added token \"{}\" has the id {}: it must be below {}", where, token.content,
                token.id, token_id_limit);
  }
  if (token.id >= vocabulary_size()) {
    pieces_.resize(static_cast<size_t>(token.id) + 1);
  }
  const auto [known, is_new] = ids_.emplace(token.content, token.id);
  piece& place = pieces_[static_cast<size_t>(token.id)];
  if (is_new && place.kind != piece_kind::none) {
    throw error(errc::bad_file, "{}: added token \"{}\" has the id {}, which \"{}\" has in the vocabulary", where,
                token.content, token.id, place.text);
  }
  place = {token.content, token.special ? piece_kind::added_special : piece_kind::added};
  added_.add(token, token.content);
  in_filtered_text_.add(token, token.content);
}

void sentencepiece_tokenizer::set_frame(const tokenizer_config& config) {
  const auto add = [&](const std::optional<bool>& wanted, const std::optional<int32_t>& id, const char* key,
                       std::vector<int32_t>& frame) {
    if (!wanted.value_or(false)) {
      return;
    }
    if (!id) {
      throw error(errc::bad_file, "{}: {} is set, but there is no such token", config.where, key);
    }
    frame.push_back(*id);
  };
  add(config.add_bos, specials_.bos, "add_bos_token", prefix_ids_);
  add(config.add_eos, specials_.eos, "add_eos_token", suffix_ids_);
}

sentencepiece_tokenizer::~sentencepiece_tokenizer() = default;

void sentencepiece_tokenizer::read_pieces(const std::string& where) {
  for (int32_t id = 0; id < processor_->GetPieceSize(); ++id) {
    piece next{processor_->IdToPiece(id), piece_kind::text};
    ids_.emplace(next.text, id);
    if (processor_->IsControl(id)) {
      next.kind = piece_kind::control;
    } else if (processor_->IsUnknown(id)) {
      next.kind = piece_kind::unknown;
      next.text = processor_->DecodeIds({id});
    } else if (processor_->IsByte(id)) {
      const auto byte = byte_of_fallback_token(next.text);
      if (!byte) {
        throw error(errc::bad_file, "{}: byte piece {} is spelt \"{}\"", where, id, next.text);
      }
      next.kind = piece_kind::byte;
      next.byte = *byte;
    }
    pieces_.push_back(std::move(next));
  }
}

// The library does not show the settings that decide this, so one of its own pieces is decoded
// twice in a row.
void sentencepiece_tokenizer::probe_leading_spaces() {
  for (size_t id = 0; id < pieces_.size(); ++id) {
    const piece& p = pieces_[id];
    if (p.kind == piece_kind::text && p.text.starts_with(space_mark)) {
      const int i = static_cast<int>(id);
      const std::string once = with_spaces(p.text);
      const std::string text = processor_->DecodeIds({i, i});
      drops_first_space_ = text.size() < 2 * once.size();
      drops_leading_spaces_ = once == " " && text.empty();
      if (once == " ") {
        return;
      }
    }
  }
}

void sentencepiece_tokenizer::encode_part(const processor& by, std::string_view text, std::vector<int32_t>& ids) {
  std::vector<int> part;
  const auto status = by.Encode(text, &part);
  if (!status.ok()) {
    throw error(errc::bad_argument, "SentencePiece cannot encode a text of {} bytes: {}", text.size(),
                status.message());
  }
  ids.insert(ids.end(), part.begin(), part.end());
}

std::vector<int32_t> sentencepiece_tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  require_utf8_text(text);
  std::vector<int32_t> ids;
  if (add_special_tokens) {
    ids = prefix_ids_;
  }
  encode_around(
      added_, text, [](const added_token&, size_t, size_t) { return true; }, ids);
  if (add_special_tokens) {
    ids.insert(ids.end(), suffix_ids_.begin(), suffix_ids_.end());
  }
  return ids;
}

std::vector<int32_t> sentencepiece_tokenizer::encode_filtered(std::string_view text,
                                                              const special_filter& is_meant) const {
  require_utf8_text(text);
  std::vector<int32_t> ids;
  encode_around(
      in_filtered_text_, text,
      [&](const added_token& token, size_t begin, size_t end) { return !token.special || is_meant(begin, end); }, ids);
  return ids;
}

void sentencepiece_tokenizer::encode_around(const added_token_finder& finder, std::string_view text,
                                            const added_token_finder::agreement& takes,
                                            std::vector<int32_t>& ids) const {
  bool at_start = true;
  finder.cut(text, takes, [&](std::string_view part, std::optional<int32_t> id) {
    if (id) {
      ids.push_back(*id);
    } else {
      encode_part(at_start || !continuing_ ? *processor_ : *continuing_, part, ids);
    }
    at_start = false;
  });
}

std::string sentencepiece_tokenizer::spelling_of(int32_t id) const {
  return pieces_.at(static_cast<size_t>(id)).kind == piece_kind::control ? pieces_[static_cast<size_t>(id)].text
                                                                         : tokenizer::spelling_of(id);
}

std::unique_ptr<stream_decoder> sentencepiece_tokenizer::make_stream_decoder(bool skip_special) const {
  return std::make_unique<stream>(*this, skip_special);
}

std::optional<int32_t> sentencepiece_tokenizer::find(std::string_view token) const {
  const auto found = ids_.find(std::string(token));
  return found == ids_.end() ? std::nullopt : std::optional<int32_t>(found->second);
}

bool sentencepiece_tokenizer::is_special(int32_t id) const {
  if (id < 0 || id >= vocabulary_size()) {
    return false;
  }
  const piece_kind kind = pieces_[static_cast<size_t>(id)].kind;
  return kind == piece_kind::control || kind == piece_kind::unknown || kind == piece_kind::added_special;
}

}  // namespace troupe::io
