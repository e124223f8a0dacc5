#include "io/tokenizer/tokenizer.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/files/mapped_file.hpp"
#include "io/json/json.hpp"
#include "io/tokenizer/bpe_tokenizer.hpp"
#include "io/tokenizer/sentencepiece_tokenizer.hpp"
#include "io/tokenizer/tokenizer_config.hpp"
#include "io/tokenizer/tokenizer_json.hpp"
#include "io/tokenizer/vocab_merges.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace troupe::io {
namespace {

struct file_entry {
  const char* name;
  std::optional<std::string> tokenizer_files::*content;
};

constexpr std::array all_files{
    file_entry{"tokenizer.json", &tokenizer_files::tokenizer_json},
    file_entry{"vocab.json", &tokenizer_files::vocab_json},
    file_entry{"merges.txt", &tokenizer_files::merges_txt},
    file_entry{"tokenizer.model", &tokenizer_files::tokenizer_model},
    file_entry{"tokenizer_config.json", &tokenizer_files::tokenizer_config_json},
    file_entry{"special_tokens_map.json", &tokenizer_files::special_tokens_map_json},
    file_entry{"added_tokens.json", &tokenizer_files::added_tokens_json},
    file_entry{"chat_template.jinja", &tokenizer_files::chat_template_jinja},
    file_entry{"chat_template.json", &tokenizer_files::chat_template_json},
};

uint64_t digest_of(const tokenizer_files& files) {
  digest_stream digest;
  for (const file_entry& entry : all_files) {
    if (const auto& content = files.*entry.content) {
      // The size keeps the end of one file from passing for the start of the next.
      digest.update(fmt::format("{} {}\n", entry.name, content->size()));
      digest.update(*content);
    }
  }
  return digest.value();
}

void add_configured_tokens(const tokenizer_config& config, bpe_definition& definition) {
  vocabulary& words = definition.words;
  definition.added = place_added_tokens(
      std::move(definition.added), config, [&](std::string_view text) { return words.find(text); }, words.size());
  for (const added_token& token : definition.added) {
    if (!words.find(token.content)) {
      words.add(token.content, token.id);
    }
  }
}

// add_bos_token and add_eos_token, where set, take the place of what tokenizer.json puts around a
// text.
void set_text_frame(const tokenizer_config& config, const special_ids& specials, bpe_definition& definition) {
  const auto set = [&](std::optional<bool> wanted, std::optional<int32_t> id, const char* key,
                       std::vector<int32_t>& frame) {
    if (!wanted) {
      return;
    }
    frame.clear();
    if (*wanted && !id) {
      throw error(errc::bad_file, "{}: {} is set, but there is no such token", config.where, key);
    }
    if (*wanted) {
      frame.push_back(*id);
    }
  };
  set(config.add_bos, specials.bos, "add_bos_token", definition.prefix_ids);
  set(config.add_eos, specials.eos, "add_eos_token", definition.suffix_ids);
}

std::unique_ptr<tokenizer> make_of_kind(const tokenizer_files& files, const tokenizer_config& config,
                                        const std::string& where) {
  const uint64_t digest = digest_of(files);
  bpe_definition definition;
  if (files.tokenizer_json) {
    definition = read_tokenizer_json(*files.tokenizer_json, where + "/tokenizer.json");
  } else if (files.vocab_json && files.merges_txt) {
    definition = read_vocab_merges(*files.vocab_json, *files.merges_txt, config, where);
  } else if (files.vocab_json || files.merges_txt) {
    throw error(errc::not_found, "{}: {} without {}: copy both from where the model comes from", where,
                files.vocab_json ? "vocab.json" : "merges.txt", files.vocab_json ? "merges.txt" : "vocab.json");
  } else if (files.tokenizer_model) {
    return std::make_unique<sentencepiece_tokenizer>(*files.tokenizer_model, config, digest,
                                                     where + "/tokenizer.model");
  } else {
    throw error(
        errc::not_found,
        "{} has no tokenizer: tokenizer.json, vocab.json with merges.txt, or tokenizer.model is needed: copy it from "
        "where the model comes from",
        where);
  }
  add_configured_tokens(config, definition);
  const special_ids specials =
      find_specials(config, [&](std::string_view text) { return definition.words.find(text); });
  set_text_frame(config, specials, definition);
  return std::make_unique<bpe_tokenizer>(std::move(definition), specials, digest, config.chat_template);
}

tokenizer::named_texts special_texts_of(const tokenizer_config& config) {
  tokenizer::named_texts texts;
  const auto add = [&](const char* name, const std::optional<named_special>& one) {
    if (one) {
      texts.emplace_back(name, one->token.content);
    }
  };
  add("bos_token", config.bos);
  add("eos_token", config.eos);
  add("pad_token", config.pad);
  add("unk_token", config.unk);
  return texts;
}

/// `eos_token_id` of a configuration: an integer, or the first of a list; nothing where it has none.
std::optional<int32_t> end_id_in(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) {
    return std::nullopt;
  }
  const nlohmann::json keys = parse_json(read_text_file(file), file.string());
  nlohmann::json id = keys.is_object() ? keys.value("eos_token_id", nlohmann::json()) : nlohmann::json();
  if (id.is_array() && !id.empty()) {
    id = nlohmann::json(id.front());
  }
  const bool is_id = id.is_number_unsigned() && id.get<uint64_t>() < uint64_t{token_id_limit};
  return is_id ? std::optional(id.get<int32_t>()) : std::nullopt;
}

}  // namespace

/// Where the tokenizer's own files name no end token, the model's may.
void tokenizer::take_end_token_of(const std::filesystem::path& folder) {
  for (const char* name : {"generation_config.json", "config.json"}) {
    const auto id = specials_.eos ? std::nullopt : end_id_in(folder / name);
    if (id && *id < vocabulary_size()) {
      specials_.eos = id;
      special_texts_.emplace_back("eos_token", spelling_of(*id));
    }
  }
}

std::string tokenizer::spelling_of(int32_t id) const { return decode(std::vector<int32_t>{id}, false); }

std::string tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  const auto decoder = make_stream_decoder(skip_special);
  std::string text;
  for (const int32_t id : ids) {
    text += decoder->push(id);
  }
  return text + decoder->finish();
}

std::unique_ptr<tokenizer> make_tokenizer(const tokenizer_files& files, const std::string& where) {
  const tokenizer_config config = read_tokenizer_config(files, where);
  std::unique_ptr<tokenizer> made = make_of_kind(files, config, where);
  made->special_texts_ = special_texts_of(config);
  made->place_ = where;
  return made;
}

std::unique_ptr<tokenizer> load_tokenizer(const std::filesystem::path& folder) {
  tokenizer_files files;
  for (const file_entry& entry : all_files) {
    const std::filesystem::path path = folder / entry.name;
    if (std::filesystem::exists(path)) {
      files.*entry.content = read_text_file(path);
    }
  }
  // Only what is used counts in the digest.
  if (files.tokenizer_json) {
    files.vocab_json.reset();
    files.merges_txt.reset();
    files.tokenizer_model.reset();
  } else if (files.vocab_json && files.merges_txt) {
    files.tokenizer_model.reset();
  }
  std::unique_ptr<tokenizer> made = make_tokenizer(files, folder.string());
  made->take_end_token_of(folder);
  return made;
}

}  // namespace troupe::io
