// Models that read the policy's tokens: another tokenizer, too few ids or too
// few positions are errors before the run begins.
#include "actors/models/model_fit.hpp"
#include "base/error.hpp"
#include "io/files/mapped_file.hpp"
#include "io/json/json_keys.hpp"
#include "io/weights/model_folder.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <fstream>

namespace troupe::actors {
namespace {

namespace fs = std::filesystem;

const fs::path data = test_data();
const fs::path stories = data / "stories260k";

/// What require_reads says of a model in `reader` beside the tokenizer of `policy`; empty: they fit.
std::string complaint(const fs::path& policy, const fs::path& reader, int64_t max_tokens = 64) {
  io::job job;
  job.length.max_tokens = max_tokens;
  try {
    require_reads(job, *io::load_tokenizer(policy), policy, *load_model(reader, head_kind::language_model));
  } catch (const error& failure) {
    EXPECT_EQ(failure.code(), errc::bad_argument);
    return failure.what();
  }
  return "";
}

/// stories260k without its tokenizer.
fs::path bare_model(const fs::path& folder) {
  fs::create_directories(folder);
  for (const char* file : {"config.json", "model.safetensors"}) {
    fs::copy(stories / file, folder / file);
  }
  return folder;
}

TEST(ModelFit, TheSameTokenizerFits) { EXPECT_EQ(complaint(stories, stories), ""); }

TEST(ModelFit, AnotherTokenizerIsRefusedNamingBothFolders) {
  const fs::path llama = data / "tiny/llama";
  const std::string said = complaint(llama, stories);
  EXPECT_NE(said.find(stories.string() + ": its tokenizer is not that of the policy in " + llama.string()),
            std::string::npos)
      << said;
}

TEST(ModelFit, OtherBytesWithTheSameIdsFit) {
  const test::temporary_folder folder;
  const fs::path reader = bare_model(folder / "reader");
  fs::copy(stories / "tokenizer.model", reader / "tokenizer.model");
  std::ofstream(reader / "tokenizer_config.json")
      << R"({"tokenizer_class": "LlamaTokenizer", "add_bos_token": true, "bos_token": "<s>", "eos_token": "</s>",)"
      << R"( "unk_token": "<unk>", "legacy": true, "chat_template": "{{ messages }}"})";
  ASSERT_NE(io::load_tokenizer(reader)->digest(), io::load_tokenizer(stories)->digest());
  EXPECT_EQ(complaint(stories, reader), "");
}

TEST(ModelFit, WithoutATokenizerOnlySizesCount) {
  const test::temporary_folder folder;
  const fs::path reader = bare_model(folder / "reader");
  EXPECT_EQ(complaint(stories, reader), "");
  const std::string said = complaint(data / "tokenizers/opt", reader);
  EXPECT_NE(said.find("ids, the model only 512"), std::string::npos) << said;
}

/// stories260k with a token more than the model has rows for, which `map` (special_tokens_map.json) may name.
fs::path with_token_beyond(const fs::path& folder, const std::string& map) {
  bare_model(folder);
  fs::copy(stories / "tokenizer.model", folder / "tokenizer.model");
  std::ofstream(folder / "tokenizer_config.json") << R"({"tokenizer_class": "LlamaTokenizer"})";
  std::ofstream(folder / "added_tokens.json") << R"({"<x>": 512})";
  std::ofstream(folder / "special_tokens_map.json") << map;
  return folder;
}

TEST(ModelFit, OnlyThePadMayLieBeyondTheRows) {
  const test::temporary_folder folder;
  const fs::path pad = with_token_beyond(folder / "pad", R"({"pad_token": "<x>"})");
  EXPECT_EQ(complaint(pad, pad), "");
  const fs::path other = with_token_beyond(folder / "other", "{}");
  const std::string said = complaint(other, other);
  EXPECT_NE(said.find("has 513 ids, the model only 512: id 512 is \"<x>\""), std::string::npos) << said;
}

TEST(ModelFit, SequencesStayWithinASlidingWindow) {
  const test::temporary_folder folder;
  const fs::path reader = bare_model(folder / "reader");
  std::string config = io::read_text_file(stories / "config.json");
  config.replace(config.find("\"llama\""), 7, "\"mistral\"");
  config.insert(config.find('{') + 1, "\"sliding_window\": 64,");
  std::ofstream(reader / "config.json") << config;
  EXPECT_EQ(complaint(stories, reader, 64), "");
  const std::string said = complaint(stories, reader, 65);
  EXPECT_NE(said.find("has 64 positions (as many as its sliding_window"), std::string::npos) << said;
}

TEST(ModelFit, ASavedModelsConfigurationNamesTheTypeOfItsFile) {
  const test::temporary_folder folder;
  const fs::path qwen2 = data / "tiny/qwen2";  // in bfloat16
  const model_ptr m = load_model(qwen2, head_kind::language_model);
  save_model(*m, m->weights.data(), folder / "saved", {});
  const auto config = io::read_json_keys(folder / "saved/config.json");
  EXPECT_EQ(require_text(config, "torch_dtype"), "float32");
  EXPECT_FALSE(config.contains("dtype"));
  EXPECT_EQ(io::model_folder::open(folder / "saved").find("model.norm.weight")->type, dtype::f32);
}

TEST(ModelFit, TooFewPositionsAreRefused) {
  const std::string said = complaint(stories, stories, 1 << 20);
  EXPECT_NE(said.find(stories.string() + " has 512 positions"), std::string::npos) << said;
}

}  // namespace
}  // namespace troupe::actors
