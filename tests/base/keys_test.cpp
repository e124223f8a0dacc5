#include "base/error.hpp"
#include "base/keys.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace troupe {
namespace {

const key_map keys = {{"flag", true}, {"count", int64_t{3}}, {"rate", 0.5}, {"name", std::string("x")}};

errc code_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const error& e) {
    return e.code();
  }
  ADD_FAILURE() << "no error";
  return errc::interrupted;
}

TEST(KeysTest, PresentValuesAreReturnedAndAbsentOnesFallBack) {
  EXPECT_TRUE(get_bool(keys, "flag", false));
  EXPECT_TRUE(get_bool(keys, "none", true));
  EXPECT_EQ(get_int(keys, "count", 7), 3);
  EXPECT_EQ(get_int(keys, "none", 7), 7);
  EXPECT_EQ(get_double(keys, "rate", 2), 0.5);
  EXPECT_EQ(get_double(keys, "none", 2), 2);
  EXPECT_EQ(get_text(keys, "name", "y"), "x");
  EXPECT_EQ(get_text(keys, "none", "y"), "y");
  EXPECT_EQ(require_int(keys, "count"), 3);
  EXPECT_EQ(require_text(keys, "name"), "x");
}

TEST(KeysTest, AnIntegerServesAsADoubleButNotTheReverse) {
  EXPECT_EQ(get_double(keys, "count", 2), 3.0);
  EXPECT_EQ(code_of([] { get_int(keys, "rate", 1); }), errc::bad_file);
}

TEST(KeysTest, AnotherTypeOrAMissingKeyIsAnErrorThatNamesIt) {
  EXPECT_EQ(code_of([] { get_bool(keys, "count", false); }), errc::bad_file);
  EXPECT_EQ(code_of([] { get_text(keys, "flag", ""); }), errc::bad_file);
  EXPECT_EQ(code_of([] { require_int(keys, "none"); }), errc::not_found);
  try {
    require_text(keys, "model_type");
    ADD_FAILURE();
  } catch (const error& e) {
    EXPECT_NE(std::string(e.what()).find("model_type"), std::string::npos);
  }
}

}  // namespace
}  // namespace troupe
