#include "base/error.hpp"
#include "base/random.hpp"
#include "io/json/jsonl_filter.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <sstream>
#include <string>

namespace troupe::io {
namespace {

struct run {
  int status;
  std::string out;
  std::string err;
};

run filter(const std::string& input) {
  std::istringstream in(input);
  std::ostringstream out;
  std::ostringstream err;
  const int status = filter_jsonl(in, out, err, [](json_line& line) {
    if (line.contains("bad")) {
      throw error(errc::bad_argument, "bad is {}", line["bad"].dump());
    }
    line["n"] = 1;
  });
  return {status, out.str(), err.str()};
}

TEST(JsonlFilterTest, KeepsFieldsAndTheirOrder) {
  const run result = filter("{\"z\": [1, 2.50], \"a\": \"\\u00e9\"}\n{\"n\":7}");
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.out, "{\"z\":[1,2.5],\"a\":\"\xC3\xA9\",\"n\":1}\n{\"n\":1}\n");
  EXPECT_EQ(result.err, "");
}

TEST(JsonlFilterTest, StopsAtABadLineAfterTheGoodOnes) {
  const run thrown = filter("{}\n{\"bad\":2}\n{}\n");
  EXPECT_EQ(thrown.status, 1);
  EXPECT_EQ(thrown.out, "{\"n\":1}\n");
  EXPECT_EQ(thrown.err, "line 2: bad is 2\n");
  for (const char* line : {"{", "[]", "7", "{} {}", "{\"a\":1e999}", "{\"a\":\"\xFF\"}"}) {
    const run malformed = filter(std::string("{}\n{}\n") + line + "\n{}\n");
    EXPECT_EQ(malformed.status, 1) << line;
    EXPECT_EQ(malformed.out, "{\"n\":1}\n{\"n\":1}\n") << line;
    EXPECT_EQ(malformed.err.substr(0, 8), "line 3: ") << malformed.err;
  }
}

TEST(JsonlFilterTest, BlankLinesAndAByteOrderMarkArePassedOver) {
  const run result = filter("\xEF\xBB\xBF{}\r\n\n \t\r\n{\"bad\":2}\n");
  EXPECT_EQ(result.out, "{\"n\":1}\n");
  EXPECT_EQ(result.err, "line 4: bad is 2\n") << "counted as the file has them";
}

TEST(JsonlFilterTest, NoLinesAreNoError) {
  EXPECT_EQ(filter("").status, 0);
  EXPECT_EQ(filter("").out, "");
}

TEST(JsonLineText, BytesThatAreNoUtf8AreReplaced) {
  EXPECT_EQ(json_line_text({{"a\xFF", {"\xC3", "\xC3\xA9"}}}), "{\"a\uFFFD\":[\"\uFFFD\",\"\u00E9\"]}");
}

TEST(ShortestFloatTest, WritesTheShortestTextThatReadsBack) {
  EXPECT_EQ(json_line_text(shortest_float(0.1f)), "0.1");
  EXPECT_EQ(json_line_text(shortest_float(-12.345679f)), "-12.345679");
  EXPECT_EQ(json_line_text(shortest_float(0.0f)), "0.0");
  EXPECT_EQ(json_line_text(shortest_float(std::numeric_limits<float>::infinity())), "null");
  EXPECT_EQ(json_line_text(shortest_float(std::numeric_limits<float>::quiet_NaN())), "null");
  const random_key key{3, 0, random_purpose::test};
  for (uint64_t i = 0; i < 20000; ++i) {
    const auto value = std::bit_cast<float>(random_words(key, i)[0]);
    if (!std::isfinite(value)) {
      continue;
    }
    const std::string text = json_line_text(shortest_float(value));
    float back = 0;
    std::from_chars(text.data(), text.data() + text.size(), back);
    EXPECT_EQ(std::bit_cast<uint32_t>(back), std::bit_cast<uint32_t>(value)) << text;
    // Digits alone: the notation (1e+20, 100000.0) is the writer's.
    const auto digits = [](std::string_view number) {
      std::string result;
      for (const char c : number.substr(0, number.find('e'))) {
        result += c >= '0' && c <= '9' ? std::string{c} : std::string();
      }
      result.erase(0, result.find_first_not_of('0'));
      result.erase(result.find_last_not_of('0') + 1);
      return result;
    };
    char shortest[40];
    const auto end = std::to_chars(shortest, shortest + sizeof shortest, value, std::chars_format::scientific);
    EXPECT_EQ(digits(text), digits({shortest, end.ptr})) << text;
  }
}

}  // namespace
}  // namespace troupe::io
