#include "io/json/json.hpp"
#include "io/json/json_keys.hpp"
#include "support/damage.hpp"

#include <gtest/gtest.h>

#include <string>

namespace troupe::io {
namespace {

using test::expect_error;

TEST(JsonKeysTest, FlattensObjectsAndKeepsTypes) {
  const key_map keys = parse_json_keys(R"({"a": 1, "b": 2.5, "c": "text", "d": true, "e": null, "rope_scaling":
      {"factor": 8, "deep": {"x": false}}, "eos": [1, 2], "none": [], "architectures": ["X", "Y"], "objects": [{"a": 1}],
      "large": 18446744073709551615, "negative": -3})",
                                       "here");
  EXPECT_EQ(std::get<int64_t>(keys.at("a")), 1);
  EXPECT_EQ(std::get<double>(keys.at("b")), 2.5);
  EXPECT_EQ(std::get<std::string>(keys.at("c")), "text");
  EXPECT_EQ(std::get<bool>(keys.at("d")), true);
  EXPECT_FALSE(keys.contains("e"));
  EXPECT_TRUE(is_null(keys, "e"));
  EXPECT_FALSE(is_null(keys, "a"));
  EXPECT_FALSE(is_null(keys, "missing"));
  EXPECT_EQ(std::get<int64_t>(keys.at("rope_scaling.factor")), 8);
  EXPECT_EQ(std::get<bool>(keys.at("rope_scaling.deep.x")), false);
  EXPECT_EQ(std::get<std::vector<int64_t>>(keys.at("eos")), (std::vector<int64_t>{1, 2}));
  EXPECT_TRUE(std::get<std::vector<int64_t>>(keys.at("none")).empty());
  EXPECT_EQ(std::get<std::string>(keys.at("architectures.0")), "X");
  EXPECT_EQ(std::get<std::string>(keys.at("architectures.1")), "Y");
  EXPECT_FALSE(keys.contains("objects"));
  EXPECT_EQ(std::get<double>(keys.at("large")), 18446744073709551615.0);
  EXPECT_EQ(std::get<int64_t>(keys.at("negative")), -3);
}

TEST(JsonKeysTest, RefusesWithFileAndBytePosition) {
  expect_error(errc::bad_file, "config.json: malformed JSON at byte 11",
               [] { parse_json_keys(R"({"a": 1 "b": 2})", "config.json"); });
  expect_error(errc::bad_file, "a JSON object is expected, this is a array", [] { parse_json_keys("[1]", "f"); });
  expect_error(errc::bad_file, "malformed", [] { parse_json_keys("", "f"); });
  expect_error(errc::bad_file, "malformed", [] { parse_json_keys("{\"a\": 1e999}", "f"); });
  expect_error(errc::bad_file, "malformed", [] { parse_json_keys("{\"a\": \"\xFF\"}", "f"); });
  expect_error(errc::not_found, "/none/config.json", [] { read_json_keys("/none/config.json"); });
}

TEST(JsonKeysTest, RefusesRepeatedKeys) {
  expect_error(errc::bad_file, "\"a\" occurs twice", [] { parse_json_keys(R"({"a": 1, "a": 2})", "f"); });
  expect_error(errc::bad_file, "\"b\" occurs twice",
               [] { parse_json_keys(R"({"x": [{"b": 1, "c": 1, "b": 2}]})", "f"); });
  expect_error(errc::bad_file, "two values for the key a.b",
               [] { parse_json_keys(R"({"a.b": 1, "a": {"b": 2}})", "f"); });
  // The same key in different objects is nothing special.
  EXPECT_EQ(parse_json_keys(R"({"a": {"k": 1}, "b": {"k": 2, "c": {"k": 3}}, "k": 4})", "f").size(), 4U);
}

TEST(JsonKeysTest, BoundsTheNesting) {
  const auto nested = [](int depth) {
    return "{\"a\":" + std::string(static_cast<size_t>(depth - 1), '[') + "1" +
           std::string(static_cast<size_t>(depth - 1), ']') + "}";
  };
  EXPECT_NO_THROW(parse_json_keys(nested(json_depth_limit), "f"));
  expect_error(errc::bad_file, "nested deeper than 64", [&] { parse_json_keys(nested(json_depth_limit + 1), "f"); });
  expect_error(errc::bad_file, "nested deeper", [] { parse_json_keys(std::string(1000000, '['), "f"); });
  expect_error(errc::bad_file, "nested deeper", [] {
    std::string text;
    for (int i = 0; i < 100000; ++i) {
      text += "{\"a\":";
    }
    parse_json_keys(text, "f");
  });
}

TEST(JsonKeysTest, SurvivesDamage) {
  const auto bytes = test::to_bytes(R"({"a": [1, 2, {"b": "\u00e9\n"}], "c": -1.5e3, "d": {"e": null, "f": true}})");
  const test::parser parse = [](std::span<const std::byte> b) {
    parse_json_keys({reinterpret_cast<const char*>(b.data()), b.size()}, "f");
  };
  test::expect_every_truncation_refused(bytes, parse);
  EXPECT_GT(test::flip_every_byte(bytes, parse), bytes.size());
}

}  // namespace
}  // namespace troupe::io
