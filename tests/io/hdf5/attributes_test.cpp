#include "io/hdf5/hdf5.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <span>
#include <string>
#include <vector>

namespace troupe::io {
namespace {

using test::expect_error;

/// A file with a data set and attributes of each kind on it.
class Hdf5AttributesTest : public testing::Test {
protected:
  void SetUp() override {
    const std::vector<float> values{1, 2};
    file_.write<float>("x", {2}, values);
    file_.write_attribute("x", "int", std::numeric_limits<int64_t>::min());
    file_.write_attribute("x", "unsigned", std::numeric_limits<uint64_t>::max());
    file_.write_attribute("x", "double", 0.1);
    file_.write_attribute("x", "text", std::string("Grüße"));
    file_.write_attribute("x", "texts", std::span<const std::string>(texts_));
    file_.write_attribute("x", "no texts", std::span<const std::string>());
    file_.write_attribute("x", "ints", std::span<const int64_t>(ints_));
    file_.write_attribute("x", "no ints", std::span<const int64_t>());
  }

  const test::temporary_folder folder_;
  const std::vector<std::string> texts_{"", "a", "bc"};
  const std::vector<int64_t> ints_{3, -1, 2};
  hdf5_file file_ = hdf5_file::create(folder_ / "a.h5");
};

TEST_F(Hdf5AttributesTest, ComeBackAsTheyWere) {
  file_.close();
  const hdf5_file file = hdf5_file::open(folder_ / "a.h5");
  EXPECT_EQ(file.read_int_attribute("x", "int"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(file.read_unsigned_attribute("x", "unsigned"), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(file.read_double_attribute("x", "double"), 0.1);
  EXPECT_EQ(file.read_text_attribute("x", "text"), "Grüße");
  EXPECT_EQ(file.read_texts_attribute("x", "texts"), texts_);
  EXPECT_TRUE(file.read_texts_attribute("x", "no texts").empty());
  EXPECT_EQ(file.read_ints_attribute("x", "ints"), ints_);
  EXPECT_TRUE(file.read_ints_attribute("x", "no ints").empty());
  EXPECT_TRUE(file.has_attribute("x", "int"));
  EXPECT_FALSE(file.has_attribute("x", "other"));
  EXPECT_FALSE(file.has_attribute("/", "int"));
}

TEST_F(Hdf5AttributesTest, AnIntegerIsReadAsARealButNotTheOtherWayRound) {
  file_.write_attribute("x", "seven", int64_t{7});
  EXPECT_EQ(file_.read_double_attribute("x", "seven"), 7.0);
  expect_error(errc::shape_mismatch, "'double' of 'x' in", [&] { file_.read_int_attribute("x", "double"); });
  expect_error(errc::shape_mismatch, "is not an integer", [&] { file_.read_unsigned_attribute("x", "double"); });
  expect_error(errc::shape_mismatch, "is not a number", [&] { file_.read_double_attribute("x", "text"); });
  expect_error(errc::shape_mismatch, "is not text", [&] { file_.read_text_attribute("x", "int"); });
}

TEST_F(Hdf5AttributesTest, RefuseAListWhereOneValueIsNeeded) {
  expect_error(errc::shape_mismatch, "has 3 values, not 1", [&] { file_.read_int_attribute("x", "ints"); });
  expect_error(errc::shape_mismatch, "has 3 texts, not 1", [&] { file_.read_text_attribute("x", "texts"); });
  expect_error(errc::shape_mismatch, "has 0 values, not 1", [&] { file_.read_double_attribute("x", "no ints"); });
}

TEST_F(Hdf5AttributesTest, RefuseWhatIsNotThere) {
  expect_error(errc::not_found, "'x' of", [&] { file_.read_int_attribute("x", "other"); });
  expect_error(errc::not_found, "has no attribute 'other'", [&] { file_.read_texts_attribute("x", "other"); });
  expect_error(errc::not_found, "has no 'y'", [&] { file_.read_int_attribute("y", "int"); });
  expect_error(errc::not_found, "has no 'y'", [&] { file_.write_attribute("y", "int", int64_t{1}); });
  expect_error(errc::bad_argument, "contains a NUL",
               [&] { file_.write_attribute("x", "nul", std::string("a\0b", 3)); });
  EXPECT_FALSE(file_.has_attribute("x", "nul"));
}

}  // namespace
}  // namespace troupe::io
