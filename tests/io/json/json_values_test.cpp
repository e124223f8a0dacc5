// Plain values as JSON and back.
#include "io/json/json_values.hpp"
#include "support/damage.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace troupe::io {
namespace {

using json = nlohmann::ordered_json;

TEST(JsonValues, EachKindComesBackAsItself) {
  for (const key_value& value :
       {key_value(true), key_value(int64_t{-3}), key_value(0.1), key_value(std::string("a\nb")),
        key_value(std::vector<int64_t>{1, 2}), key_value(std::numeric_limits<int64_t>::max())}) {
    EXPECT_EQ(from_json(json::parse(dump(to_json(value), false)), "x"), value) << dump(to_json(value), false);
  }
}

TEST(JsonValues, WhatIsNotFiniteIsNullAndComesBackAsNaN) {
  EXPECT_TRUE(to_json(key_value(std::numeric_limits<double>::infinity())).is_null());
  EXPECT_TRUE(std::isnan(std::get<double>(from_json(json(), "x"))));
}

TEST(JsonValues, OthersAreRefused) {
  test::expect_error(errc::bad_file, "x: a value is no number", [] { from_json(json::object(), "x"); });
  test::expect_error(errc::bad_file, "x: a list holds something", [] { from_json({1, 2.5}, "x"); });
  test::expect_error(errc::bad_file, "x: a value is no number", [] { from_json(json(UINT64_MAX), "x"); });
}

TEST(JsonValues, MembersAreOfTheTypeThatIsAskedFor) {
  const json object = {{"n", 3}, {"x", 0.5}, {"t", "text"}};
  EXPECT_EQ(json_int(object, "n", "o"), 3);
  EXPECT_EQ(json_double(object, "n", "o"), 3.0);
  EXPECT_EQ(json_double(object, "x", "o"), 0.5);
  EXPECT_EQ(json_text(object, "t", "o"), "text");
  test::expect_error(errc::bad_file, "o: \"m\" is missing", [&] { json_int(object, "m", "o"); });
  test::expect_error(errc::bad_file, "o: \"x\" is not an integer", [&] { json_int(object, "x", "o"); });
  test::expect_error(errc::bad_file, "o: \"t\" is not a number", [&] { json_double(object, "t", "o"); });
  test::expect_error(errc::bad_file, "o: \"n\" is not text", [&] { json_text(object, "n", "o"); });
}

TEST(JsonValues, BytesThatAreNoTextAreReplaced) { EXPECT_EQ(dump("a\xff", false), "\"a\uFFFD\""); }

}  // namespace
}  // namespace troupe::io
