/// tokenizer.model: SentencePiece, by its own library.
#pragma once

#include "io/tokenizer/added_tokens.hpp"
#include "io/tokenizer/tokenizer.hpp"
#include "io/tokenizer/tokenizer_config.hpp"

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace troupe::io {

/// The library encodes; decoding follows its rules piece by piece, so that it can be streamed. Added tokens are cut out
/// of a text before the library sees it, and what stands between them is encoded part by part. Control pieces (<s>,
/// </s>) that no file lists as added tokens are, as with the library, ordinary text where a text spells them out, and
/// decode to nothing, skip_special or not.
class sentencepiece_tokenizer final : public tokenizer {
public:
  /// Errors  bad_file when `model` is not one, or `config` adds a token under the id or the text of another.
  sentencepiece_tokenizer(std::string_view model, const tokenizer_config& config, uint64_t digest,
                          const std::string& where);
  ~sentencepiece_tokenizer() override;

  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens) const override;
  std::vector<int32_t> encode_filtered(std::string_view text, const special_filter& is_meant) const override;
  std::unique_ptr<stream_decoder> make_stream_decoder(bool skip_special) const override;
  int64_t vocabulary_size() const override { return static_cast<int64_t>(pieces_.size()); }
  std::optional<int32_t> find(std::string_view token) const override;
  bool is_special(int32_t id) const override;
  std::string spelling_of(int32_t id) const override;

private:
  class stream;
  using processor = sentencepiece::SentencePieceProcessor;
  enum class piece_kind : uint8_t { none, text, control, unknown, byte, added, added_special };
  struct piece {
    std::string text = {};  // ▁ for spaces; of an unknown one: what it decodes to
    piece_kind kind = piece_kind::none;
    uint8_t byte = 0;
  };

  void read_pieces(const std::string& where);
  void add_tokens(const tokenizer_config& config);
  void add_token(const added_token& token, const std::string& where);
  void set_frame(const tokenizer_config& config);
  void probe_leading_spaces();
  static std::unique_ptr<processor> load(std::string_view model, const std::string& where);
  void encode_around(const added_token_finder& finder, std::string_view text,
                     const added_token_finder::agreement& takes, std::vector<int32_t>& ids) const;
  static void encode_part(const processor& by, std::string_view text, std::vector<int32_t>& ids);

  std::unique_ptr<processor> processor_;
  std::unique_ptr<processor> continuing_;  // puts no space before a text; null: nothing is encoded so
  std::vector<piece> pieces_;              // by id
  std::unordered_map<std::string, int32_t> ids_;
  added_token_finder added_;
  added_token_finder in_filtered_text_;           // these, and the control pieces: what a chat template may write
  bool drops_first_space_ = false;                // the model puts a space before a text: decoding drops it again
  bool drops_leading_spaces_ = false;             // ... and all others at the start
  std::vector<int32_t> prefix_ids_, suffix_ids_;  // what add_special_tokens puts around a text
};

}  // namespace troupe::io
