// docs/guide.md shows a record of every data format: each is one.
#include "io/datasets/recognise.hpp"
#include "io/datasets/record.hpp"
#include "io/files/mapped_file.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace troupe::io {

/// The lines of the page's fenced blocks, by the word after the fence.
static std::map<std::string, std::vector<std::string>> fenced_blocks(const std::string& page) {
  std::map<std::string, std::vector<std::string>> blocks;
  std::istringstream lines(page);
  std::string word;
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("```")) {
      inside = !inside;
      word = line.substr(3);
    } else if (inside && !word.empty()) {
      blocks[word].push_back(line);
    }
  }
  return blocks;
}

TEST(GuideRecords, AreWhatTheGuideSaysTheyAre) {
  const std::filesystem::path docs = source_tree() / "docs";
  const auto blocks = fenced_blocks(read_text_file(docs / "guide.md"));
  const chat_format dialogue = chat_format::named("dialogue");
  for (int i = 0; i < static_cast<int>(data_format::automatic); ++i) {
    const auto format = static_cast<data_format>(i);
    if (format == data_format::experience) {
      continue;  // HDF5 files
    }
    const std::string word(to_string(format));
    ASSERT_TRUE(blocks.contains(word)) << "the guide has no record of format " << word;
    for (const std::string& line : blocks.at(word)) {
      data_section set;
      set.name = "guide";
      set.format = format;
      const record read = read_record(line, set, word, dialogue);
      EXPECT_TRUE(format == data_format::text || !read.prompt.empty()) << line;
      EXPECT_TRUE(read.has_answer || format == data_format::prompt_answer) << line;
      EXPECT_EQ(read.has_pair, line.find("\"rejected\"") != std::string::npos) << line;
      // By its columns a pair of turns is a pair.
      data_section recognised;
      recognise_columns(nlohmann::json::parse(line), recognised);
      const bool pair_of_turns = format == data_format::conversations && read.has_pair;
      EXPECT_EQ(to_string(recognised.format), pair_of_turns ? "pairs" : word) << line;
    }
  }
}

}  // namespace troupe::io
