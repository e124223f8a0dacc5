// From tokens to text: decoder.
#include "base/error.hpp"
#include "io/tokenizer/json_members.hpp"
#include "io/tokenizer/json_steps.hpp"

namespace troupe::io {

namespace {

using nlohmann::json;

// Strip, Replace and their kin of a decoder, which must come in the order in which Llama's files
// have them.
class decoder_reader {
public:
  explicit decoder_reader(const std::string& where) : where_(where) { options_.space.clear(); }

  void operator()(const std::string& type, const json& step) {
    if (type == "ByteLevel") {
      refuse_unknown_members(step, {"type", "add_prefix_space", "trim_offsets", "use_regex"}, where_);
      advance(type, 5);
      byte_level_ = true;
    } else if (type == "Replace") {
      refuse_unknown_members(step, {"type", "pattern", "content"}, where_);
      advance(type, 1);
      const pattern_text mark = read_pattern(step, where_);
      if (mark.is_regex || mark.text.empty() || text_member(step, "content", where_) != " ") {
        refuse_component("Replace other than of a text by a space", mark.text, where_);
      }
      options_.space = mark.text;
    } else if (type == "ByteFallback" || type == "Fuse") {
      refuse_unknown_members(step, {"type"}, where_);
      advance(type, type == "Fuse" ? 3 : 2);
      options_.byte_fallback = options_.byte_fallback || type == "ByteFallback";
    } else if (type == "Strip") {
      read_strip(step);
    } else if (type == "Metaspace") {
      refuse_unknown_metaspace(step, where_);
      advance(type, 5);
      options_.space = text_member(step, "replacement", where_);
      options_.drop_first_space = read_prepend_scheme(step, where_) != prepend_scheme::never;
    } else {
      refuse_component("type", type, where_);
    }
  }

  token_decoder_factory factory() const {
    if (byte_level_) {
      return make_byte_level_decoder;
    }
    return [options = options_] { return make_word_decoder(options); };
  }

private:
  void advance(const std::string& type, int place) {
    if (place <= place_ || (place == 5 && place_ > 0)) {
      throw error(errc::unsupported, "{}: \"{}\" in this place of a Sequence is not supported", where_, type);
    }
    place_ = place;
  }

  void read_strip(const json& step) {
    refuse_unknown_members(step, {"type", "content", "start", "stop"}, where_);
    if (place_ != 3) {
      refuse_component("without \"Fuse\" before it, type", "Strip", where_);
    }
    advance("Strip", 4);
    if (text_member(step, "content", where_) != " " || int_member(step, "start", where_) != 1 ||
        int_member(step, "stop", where_) != 0) {
      refuse_component("other than one space at the start, type", "Strip", where_);
    }
    options_.strip_first = true;
  }

  const std::string& where_;
  word_decoder_options options_;
  bool byte_level_ = false;
  int place_ = 0;
};

}  // namespace

void read_decoder(const json& component, const std::string& where, bpe_definition& result) {
  decoder_reader decoder(where);
  for_each_step(component, "decoders", where, std::ref(decoder));
  result.decoder = decoder.factory();
}

}  // namespace troupe::io
