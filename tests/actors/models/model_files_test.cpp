// What stands beside the weights of a model that is saved.
#include "actors/models/model_files.hpp"
#include "io/chat/chat.hpp"
#include "io/json/json_keys.hpp"
#include "io/tokenizer/tokenizer.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace troupe::actors {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A tiny model whose tokenizer_config.json has a template of its own.
class SavedModel : public ::testing::Test {
protected:
  void SetUp() override {
    fs::copy(test_data() + "/tiny/llama3", source, fs::copy_options::recursive);
    of = load_model(source, head_kind::language_model);
  }
  void save(const model_saving& how) { save_model(*of, of->weights.data(), target, how); }

  test::temporary_folder folder;
  fs::path source = folder / "source", target = folder / "target";
  model_ptr of;
};

TEST_F(SavedModel, HasTheTemplateThatItLearnedInBothPlaces) {
  save({.chat_template = "{{ messages }}"});
  EXPECT_EQ(text_of(target / "chat_template.jinja"), "{{ messages }}");
  const auto keys = io::parse_json_keys(text_of(target / "tokenizer_config.json"), "tokenizer_config.json");
  EXPECT_EQ(get_text(keys, "chat_template", ""), "{{ messages }}") << "older versions of transformers read this";
  EXPECT_EQ(io::load_tokenizer(target)->chat_template(), "{{ messages }}");
  EXPECT_EQ(io::load_tokenizer(target)->encode("Once upon", false),
            io::load_tokenizer(source)->encode("Once upon", false));
}

TEST_F(SavedModel, OtherwiseItsFilesAreCopiedAsTheyAre) {
  save({});
  EXPECT_FALSE(fs::exists(target / "chat_template.jinja"));
  EXPECT_EQ(text_of(target / "tokenizer_config.json"), text_of(source / "tokenizer_config.json"));
  EXPECT_EQ(text_of(target / "generation_config.json"), text_of(source / "generation_config.json"));
}

TEST_F(SavedModel, EndsItsTurnsWithWhatItLearned) {
  of->generation_config_json = R"({"max_length": 9, "eos_token_id": 7})";
  save({.turn_ends = {7}});
  EXPECT_EQ(text_of(target / "generation_config.json"), of->generation_config_json) << "it says so already";
  fs::remove_all(target);
  save({.turn_ends = {7, 5}});
  EXPECT_EQ(named_end_ids(*load_model(target, head_kind::language_model)), (std::vector<int32_t>{7, 5}));
  EXPECT_NE(text_of(target / "generation_config.json").find("\"max_length\": 9"), std::string::npos);
  fs::remove_all(target);
  of->generation_config_json.clear();
  of->config_json = R"({"model_type": "llama", "eos_token_id": 3})";
  save({.turn_ends = {5}});
  EXPECT_NE(text_of(target / "generation_config.json").find("eos_token_id"), std::string::npos);
}

}  // namespace
}  // namespace troupe::actors
