/// A tokenizer whose id i is the i-th of a few given pieces; encoding is greedy, the longest piece first.
#pragma once

#include "io/tokenizer/tokenizer.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace troupe::test {

class piece_tokenizer : public io::tokenizer {
public:
  /// `start` and `end` are what encode adds where it is asked to.
  explicit piece_tokenizer(std::vector<std::string> pieces, io::special_ids special = {},
                           std::vector<int32_t> start = {}, std::vector<int32_t> end = {})
      : pieces_(std::move(pieces)), start_(std::move(start)), end_(std::move(end)) {
    specials_ = special;
  }

  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens) const override {
    std::vector<int32_t> ids;
    if (add_special_tokens) {
      ids = start_;
    }
    while (!text.empty()) {
      const int32_t id = longest(text);
      ids.push_back(id);
      text.remove_prefix(pieces_[static_cast<size_t>(id)].size());
    }
    if (add_special_tokens) {
      ids.insert(ids.end(), end_.begin(), end_.end());
    }
    return ids;
  }

  /// Special pieces are recognised wherever they stand: no test spells them out in what comes from data.
  std::vector<int32_t> encode_filtered(std::string_view text, const special_filter&) const override {
    return encode(text, false);
  }

  std::unique_ptr<io::stream_decoder> make_stream_decoder(bool) const override {
    return std::make_unique<decoder>(*this);
  }
  int64_t vocabulary_size() const override { return static_cast<int64_t>(pieces_.size()); }
  std::optional<int32_t> find(std::string_view token) const override {
    const auto found = std::find(pieces_.begin(), pieces_.end(), token);
    return found == pieces_.end() ? std::nullopt : std::optional(static_cast<int32_t>(found - pieces_.begin()));
  }
  bool is_special(int32_t id) const override {
    return id == specials_.bos || id == specials_.eos || id == specials_.pad;
  }

private:
  class decoder : public io::stream_decoder {
  public:
    explicit decoder(const piece_tokenizer& of) : of_(of) {}
    std::string push(int32_t id) override { return of_.pieces_.at(static_cast<size_t>(id)); }
    std::string finish() override { return ""; }

  private:
    const piece_tokenizer& of_;
  };

  int32_t longest(std::string_view text) const {
    int32_t best = -1;
    size_t length = 0;
    for (size_t i = 0; i < pieces_.size(); ++i) {
      if (pieces_[i].size() > length && text.starts_with(pieces_[i])) {
        best = static_cast<int32_t>(i);
        length = pieces_[i].size();
      }
    }
    if (best < 0) {
      throw std::invalid_argument("no piece begins \"" + std::string(text) + "\"");
    }
    return best;
  }

  std::vector<std::string> pieces_;
  std::vector<int32_t> start_, end_;
};

}  // namespace troupe::test
