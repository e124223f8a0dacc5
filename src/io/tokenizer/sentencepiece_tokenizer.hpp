/// tokenizer.model: SentencePiece, by its own library.
#pragma once

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

/// The library encodes; decoding follows its rules piece by piece, so that it can be streamed.
/// Control pieces
/// (<s>, </s>) decode to nothing, skip_special or not. As with the library, special tokens spelt out in a
/// text are ordinary text, unless the model defines them as symbols of its user.
class sentencepiece_tokenizer final : public tokenizer {
public:
  /// Errors  bad_file when `model` is not one, or `config` names tokens that it does not have.
  sentencepiece_tokenizer(std::string_view model, const tokenizer_config& config, uint64_t digest,
                          const std::string& where);
  ~sentencepiece_tokenizer() override;

  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens) const override;
  std::unique_ptr<stream_decoder> make_stream_decoder(bool skip_special) const override;
  int64_t vocabulary_size() const override { return static_cast<int64_t>(pieces_.size()); }
  std::optional<int32_t> find(std::string_view token) const override;
  bool is_special(int32_t id) const override;

private:
  class stream;
  enum class piece_kind : uint8_t { text, control, unknown, byte };
  struct piece {
    std::string text;  // ▁ for spaces; of an unknown one: what it decodes to
    piece_kind kind = piece_kind::text;
    uint8_t byte = 0;
  };

  void read_pieces(const std::string& where);
  void probe_leading_spaces();

  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
  std::vector<piece> pieces_;  // by id
  std::unordered_map<std::string, int32_t> ids_;
  bool drops_first_space_ = false;     // the model puts a space before a text: decoding drops it again
  bool drops_leading_spaces_ = false;  // ... and all others at the start
  bool add_bos_ = false;
  bool add_eos_ = false;
};

}  // namespace troupe::io
