// Models that read the policy's tokens: another tokenizer, too few ids or too
// few positions are errors before the run begins.
#include "actors/models/model_fit.hpp"
#include "base/error.hpp"
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

TEST(ModelFit, TooFewPositionsAreRefused) {
  const std::string said = complaint(stories, stories, 1 << 20);
  EXPECT_NE(said.find(stories.string() + " has 512 positions"), std::string::npos) << said;
}

}  // namespace
}  // namespace troupe::actors
