#include "base/error.hpp"
#include "io/datasets/lines.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace troupe::io {

static const std::string folder = test_data() + "/datasets/";

static std::vector<std::string> all_lines(line_reader reader) {
  std::vector<std::string> out;
  for (std::string line; reader.next(line);) {
    out.push_back(line);
  }
  return out;
}

static std::string error_of(line_reader reader) {
  try {
    all_lines(std::move(reader));
  } catch (const error& e) {
    return e.what();
  }
  return "no error";
}

TEST(LinesTest, EndsOfLinesAndOfTheTextAreNotPartOfALine) {
  EXPECT_EQ(all_lines({text_source("a\r\n\nb"), "t"}), (std::vector<std::string>{"a", "", "b"}));
  EXPECT_EQ(all_lines({text_source("a\n"), "t"}), (std::vector<std::string>{"a"}));
  EXPECT_EQ(all_lines({text_source(""), "t"}), (std::vector<std::string>{}));
}

TEST(LinesTest, LinesDoNotDependOnHowTheSourceCutsThem) {
  std::string text;
  for (int i = 0; i < 20000; ++i) {
    text += std::to_string(i) + std::string(static_cast<size_t>(i % 37), 'x') + "\n";
  }
  size_t at = 0;
  const byte_source dripping = [&](std::span<char> into) {
    const size_t count = std::min({into.size(), text.size() - at, size_t{1 + at % 97}});
    std::copy_n(text.begin() + static_cast<std::ptrdiff_t>(at), count, into.begin());
    at += count;
    return count;
  };
  EXPECT_EQ(all_lines({dripping, "t"}), all_lines({text_source(text), "t"}));
}

TEST(LinesTest, CompressedAndPlainFilesReadAlike) {
  const auto plain = all_lines({open_text(folder + "gsm8k.jsonl"), "p"});
  EXPECT_EQ(plain.size(), 24U);
  EXPECT_EQ(plain, all_lines({open_text(folder + "gsm8k.jsonl.gz"), "z"}));
}

TEST(LinesTest, ACutCompressedFileIsAnError) {
  std::ostringstream whole;
  whole << std::ifstream(folder + "gsm8k.jsonl.gz", std::ios::binary).rdbuf();
  const std::string path = testing::TempDir() + "/cut.jsonl.gz";
  std::ofstream(path, std::ios::binary) << whole.str().substr(0, whole.str().size() / 2);
  EXPECT_NE(error_of({open_text(path), path}).find("damaged or cut off"), std::string::npos);
}

TEST(LinesTest, CompressedFilesMayBeJoinedAndPaddedButNothingElseFollows) {
  std::ostringstream whole;
  whole << std::ifstream(folder + "gsm8k.jsonl.gz", std::ios::binary).rdbuf();
  const std::string path = testing::TempDir() + "/joined.jsonl.gz";
  const auto write = [&](const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; };
  const std::string padding(70'000, '\0');
  write(whole.str() + whole.str() + padding + whole.str() + padding);
  EXPECT_EQ(all_lines({open_text(path), path}).size(), 72U);
  write(whole.str() + "x" + whole.str());  // as if the second one's first byte were lost or changed
  EXPECT_NE(error_of({open_text(path), path}).find("damaged or cut off"), std::string::npos);
  write(whole.str() + whole.str().substr(0, 5));
  EXPECT_NE(error_of({open_text(path), path}).find("unexpected end of file"), std::string::npos);
  write("\x1F\x8B");
  EXPECT_NE(error_of({open_text(path), path}).find("unexpected end of file"), std::string::npos);
  write("\x1F");
  EXPECT_EQ(all_lines({open_text(path), path}).size(), 1U);
}

TEST(LinesTest, ADamagedCompressedFileIsAnError) {
  std::ostringstream whole;
  whole << std::ifstream(folder + "gsm8k.jsonl.gz", std::ios::binary).rdbuf();
  std::string bytes = whole.str();
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x10);
  const std::string path = testing::TempDir() + "/flipped.jsonl.gz";
  std::ofstream(path, std::ios::binary) << bytes;
  EXPECT_NE(error_of({open_text(path), path}), "no error");
}

TEST(LinesTest, AnOverlongLineIsAnErrorWithItsNumber) {
  const std::string text = "ok\n" + std::string(101, 'x') + "\n";
  EXPECT_NE(error_of({text_source(text), "t.jsonl", 100}).find("t.jsonl, line 2: is longer than 100 bytes"),
            std::string::npos);
  EXPECT_EQ(error_of({text_source(text), "t.jsonl", 101}), "no error");
  EXPECT_NE(error_of({text_source(std::string(200000, 'x')), "t.jsonl", 100}).find("line 1"), std::string::npos);
}

TEST(LinesTest, BadUtf8IsAnErrorWithItsPlace) {
  require_utf8("b\xC3\xA9", "t, line 2");
  try {
    require_utf8("bc\xFF", "t, line 2");
    FAIL() << "no error";
  } catch (const error& e) {
    EXPECT_NE(std::string(e.what()).find("t, line 2: byte 3 is not valid UTF-8"), std::string::npos) << e.what();
  }
}

TEST(LinesTest, AByteOrderMarkIsNoPartOfTheFirstLine) {
  EXPECT_EQ(all_lines({text_source("\xEF\xBB\xBFone\r\n\xEF\xBB\xBFtwo"), "t"}),
            (std::vector<std::string>{"one", "\xEF\xBB\xBFtwo"}));
}

TEST(LinesTest, WhatIsNoTextIsNamed) {
  using namespace std::string_view_literals;
  const auto refusal_of = [](std::string_view text) -> std::string {
    line_reader lines(text_source(text), "d.jsonl");
    std::string line;
    try {
      lines.next(line);
    } catch (const error& e) {
      return e.what();
    }
    return "none";
  };
  EXPECT_EQ(refusal_of("PAR1\0\n"sv),
            "d.jsonl: is a Parquet file: make it JSON Lines with jobs/recipes/parquet_to_jsonl.py");
  EXPECT_EQ(refusal_of("\xFF\xFE{\0\n\0"sv), "d.jsonl: is UTF-16 text: convert it with iconv -f UTF-16 -t UTF-8");
  EXPECT_NE(refusal_of("\x28\xB5\x2F\xFD..."sv).find("zstd"), std::string::npos);
  EXPECT_EQ(refusal_of("{}\nPAR1\n"), "none");
  EXPECT_EQ(refusal_of("PAR"), "none");
}

TEST(LinesTest, AMissingFileIsNamed) { EXPECT_THROW(open_text(folder + "nowhere.jsonl"), error); }

}  // namespace troupe::io
