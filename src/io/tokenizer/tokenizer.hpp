/// Text <-> token ids, as the Hugging Face and SentencePiece files of a model folder define it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe::io {

/// Turns ids that arrive one at a time into text. Pieces never end in the middle of a UTF-8
/// character, and all pieces joined, finish() included, equal tokenizer::decode of all ids.
/// Outlived by its tokenizer.
class stream_decoder {
public:
  virtual ~stream_decoder() = default;
  stream_decoder(const stream_decoder&) = delete;
  stream_decoder& operator=(const stream_decoder&) = delete;

  /// The text that `id` completes; often empty.
  virtual std::string push(int32_t id) = 0;

  /// What is left: U+FFFD for a character that was never completed. The decoder is then as new.
  virtual std::string finish() = 0;

protected:
  stream_decoder() = default;
};

/// The ids with a meaning of their own; empty where the tokenizer has none.
struct special_ids {
  std::optional<int32_t> bos;
  std::optional<int32_t> eos;
  std::optional<int32_t> pad;
  std::optional<int32_t> unk;
};

/// Immutable; every member may be called from several threads at once.
class tokenizer {
public:
  virtual ~tokenizer() = default;
  tokenizer(const tokenizer&) = delete;
  tokenizer& operator=(const tokenizer&) = delete;

  /// The ids of `text` (UTF-8). Added tokens, special ones among them, are recognised where the text spells them out.
  /// `add_special_tokens` adds what the tokenizer's own configuration adds to a text (BOS for OPT
  /// and Llama; nothing for GPT-2).
  /// Errors  bad_argument when `text` is not UTF-8.
  virtual std::vector<int32_t> encode(std::string_view text, bool add_special_tokens) const = 0;

  /// The ids of `text`, nothing added, where not every spelling of a special token means it: one in the bytes
  /// [begin, end) is recognised only where `is_meant(begin, end)`, and is ordinary text elsewhere. Added tokens that
  /// are not special are recognised everywhere.
  /// Errors  bad_argument when `text` is not UTF-8.
  using special_filter = std::function<bool(size_t begin, size_t end)>;
  virtual std::vector<int32_t> encode_filtered(std::string_view text, const special_filter& is_meant) const = 0;

  /// The text of `ids`, always valid UTF-8: bytes that are not decode to U+FFFD as in the reference
  /// library. An id without a token (models pad their vocabularies) decodes to nothing, and with
  /// `skip_special` a special one too.
  std::string decode(std::span<const int32_t> ids, bool skip_special) const;

  /// A decoder of one sequence; it refers to this tokenizer.
  virtual std::unique_ptr<stream_decoder> make_stream_decoder(bool skip_special) const = 0;

  /// One more than the largest id.
  virtual int64_t vocabulary_size() const = 0;

  /// The id whose token is spelt exactly `token` in the vocabulary file ("</s>", "Ġthe", "▁the").
  virtual std::optional<int32_t> find(std::string_view token) const = 0;

  /// Whether decode drops `id` under skip_special.
  virtual bool is_special(int32_t id) const = 0;

  /// How a text spells this one token, which decode may leave out: "</s>".
  virtual std::string spelling_of(int32_t id) const;

  const special_ids& specials() const { return specials_; }
  std::optional<int32_t> bos_id() const { return specials_.bos; }
  std::optional<int32_t> eos_id() const { return specials_.eos; }
  std::optional<int32_t> pad_id() const { return specials_.pad; }

  /// Of the names and bytes of the files that define the tokenizer.
  uint64_t digest() const { return digest_; }

  /// The folder's chat template (Jinja source), empty where it has none: see io/chat/chat.hpp.
  const std::string& chat_template() const { return chat_template_; }

  /// The texts of the named special tokens, for chat templates: {"eos_token", "</s>"}.
  using named_texts = std::vector<std::pair<std::string, std::string>>;
  const named_texts& special_texts() const { return special_texts_; }

  /// Where the tokenizer came from, for errors: its folder.
  const std::string& place() const { return place_; }

  friend std::unique_ptr<tokenizer> make_tokenizer(const struct tokenizer_files& files, const std::string& where);
  friend std::unique_ptr<tokenizer> load_tokenizer(const std::filesystem::path& folder);

protected:
  tokenizer() = default;

  special_ids specials_;
  uint64_t digest_ = 0;
  std::string chat_template_;

private:
  void take_end_token_of(const std::filesystem::path& folder);

  named_texts special_texts_;
  std::string place_;
};

/// The tokenizer of a model folder: tokenizer.json; else vocab.json + merges.txt; else
/// tokenizer.model (SentencePiece). tokenizer_config.json (and special_tokens_map.json) names the
/// special tokens; it and added_tokens.json add tokens, beyond the vocabulary too.
/// Errors  not_found when the folder has none of these, bad_file (naming file and position) when one is malformed,
/// unsupported (naming the component) when it needs something that Troupe does not have.
std::unique_ptr<tokenizer> load_tokenizer(const std::filesystem::path& folder);

/// The bytes of a folder's tokenizer files; empty where there is no such file.
struct tokenizer_files {
  std::optional<std::string> tokenizer_json = {};
  std::optional<std::string> vocab_json = {};
  std::optional<std::string> merges_txt = {};
  std::optional<std::string> tokenizer_model = {};
  std::optional<std::string> tokenizer_config_json = {};
  std::optional<std::string> special_tokens_map_json = {};
  std::optional<std::string> added_tokens_json = {};
  std::optional<std::string> chat_template_jinja = {};
  std::optional<std::string> chat_template_json = {};
};

/// load_tokenizer of bytes; `where` names their place in errors.
std::unique_ptr<tokenizer> make_tokenizer(const tokenizer_files& files, const std::string& where);

}  // namespace troupe::io
