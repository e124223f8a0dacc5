// Fields of the JSON lines that the filters read.
#include "jobs/fields.hpp"
#include "support/damage.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

using test::expect_error;

TEST(Fields, TextAndIds) {
  const io::json_line line = io::parse_json_line(R"({"text": "a", "ids": [0, 2147483647]})");
  EXPECT_EQ(text_field(line, "text"), "a");
  EXPECT_EQ(ids_field(line, "ids"), (std::vector<int32_t>{0, 2147483647}));
  expect_error(errc::bad_argument, "\"prompt\" is missing", [&] { text_field(line, "prompt"); });
  expect_error(errc::bad_argument, "\"ids\" is of type array, not text", [&] { text_field(line, "ids"); });
  expect_error(errc::bad_argument, "\"text\" is of type string, not an array", [&] { ids_field(line, "text"); });
}

TEST(Fields, AnIdIsAWholeNumberOfThirtyOneBits) {
  for (const char* bad : {"-1", "2147483648", "1.5", "\"1\"", "null"}) {
    const io::json_line line = io::parse_json_line(std::string(R"({"ids": [7, )") + bad + "]}");
    expect_error(errc::bad_argument, std::string("\"ids\"[1] is ") + bad + ", not an id",
                 [&] { ids_field(line, "ids"); });
  }
}

TEST(Fields, FloatsAreAsShortAsTheyReadBack) {
  const float values[] = {0.1F, -2.0F, 16777216.0F};
  EXPECT_EQ(float_array(values).dump(), "[0.1,-2.0,16777216.0]");
}

TEST(LazyTokenizer, IsLoadedWhenItIsNeeded) {
  lazy_tokenizer none("/no/such/folder");
  expect_error(errc::not_found, "/no/such/folder", [&] { none.get(); });
  lazy_tokenizer tokens(test_data() + "/tiny/llama");
  EXPECT_EQ(tokens.get(), tokens.get()) << "once";
}

}  // namespace
}  // namespace troupe
