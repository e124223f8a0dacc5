// Every vector of every tokenizer in tests/data/tokenizers, against the reference libraries'
// results.
#include "io/json/jsonl_filter.hpp"
#include "io/tokenizer/tokenizer.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace troupe::io {
namespace {

using id_list = std::vector<int32_t>;

std::filesystem::path folder_of(const std::string& name) {
  return std::filesystem::path(test_data()) / "tokenizers" / name;
}

std::vector<json_line> read_lines(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<json_line> lines;
  for (std::string line; std::getline(file, line);) {
    lines.push_back(parse_json_line(line));
  }
  return lines;
}

struct expectation {
  const char* folder;
  int64_t vocabulary_size;
  id_list hello;   // "Hello world"
  id_list prefix;  // what add_special_tokens puts before it
};

void PrintTo(const expectation& e, std::ostream* out) { *out << e.folder; }

class TokenizerVectorsTest : public testing::TestWithParam<expectation> {};

void expect_vectors(const tokenizer& tokens, const std::filesystem::path& path) {
  const auto lines = read_lines(path);
  ASSERT_EQ(lines.size(), 200u);
  for (const json_line& line : lines) {
    const auto ids = line.at("ids").get<id_list>();
    if (line.at("kind") == "encode") {
      EXPECT_EQ(tokens.encode(line.at("text").get<std::string>(), false), ids) << line;
    }
    EXPECT_EQ(tokens.decode(ids, false), line.at("decoded").get<std::string>()) << line;
    if (line.contains("decoded_skip_special")) {
      EXPECT_EQ(tokens.decode(ids, true), line.at("decoded_skip_special").get<std::string>()) << line;
    }
  }
}

void expect_special_tokens(const tokenizer& tokens, const expectation& expected) {
  const id_list plain = tokens.encode("Hello world", false);
  if (!expected.hello.empty()) {
    EXPECT_EQ(plain, expected.hello);
  }
  id_list framed = expected.prefix;
  framed.insert(framed.end(), plain.begin(), plain.end());
  EXPECT_EQ(tokens.encode("Hello world", true), framed);
  EXPECT_EQ(tokens.encode("", true), expected.prefix);
  EXPECT_EQ(tokens.encode("", false), id_list());
}

// One test for both, since loading the large ones takes longer than all their vectors.
TEST_P(TokenizerVectorsTest, EncodesAndDecodesAsTheReferenceAndAddsWhatTheConfigurationAdds) {
  const auto tokens = load_tokenizer(folder_of(GetParam().folder));
  EXPECT_EQ(tokens->vocabulary_size(), GetParam().vocabulary_size);
  expect_vectors(*tokens, folder_of(GetParam().folder) / "vectors.jsonl");
  expect_special_tokens(*tokens, GetParam());
}

INSTANTIATE_TEST_SUITE_P(
    All, TokenizerVectorsTest,
    testing::Values(expectation{"gpt2", 50257, {15496, 995}, {}}, expectation{"opt", 50265, {31414, 232}, {2}},
                    expectation{"gpt-neox-20b", 50277, {12092, 1533}, {}},
                    expectation{"smollm2", 49152, {19556, 905}, {}}, expectation{"qwen2", 151646, {9707, 1879}, {}},
                    expectation{"tiny-bpe-512-gpt2", 512, {}, {}}, expectation{"tiny-bpe-512-opt", 512, {}, {2}},
                    expectation{"tiny-bpe-512-neox", 512, {}, {}}, expectation{"tiny-bpe-512-bloom", 512, {}, {}},
                    expectation{"tiny-bpe-512-chat", 512, {}, {}}, expectation{"sp-bpe-4k", 4000, {}, {1}},
                    expectation{"tiny-sp-512", 512, {}, {1}}, expectation{"stories260k", 512, {}, {1}}),
    [](const testing::TestParamInfo<expectation>& info) {
      std::string name = info.param.folder;
      for (char& c : name) {
        c = c == '-' ? '_' : c;
      }
      return name;
    });

}  // namespace
}  // namespace troupe::io
