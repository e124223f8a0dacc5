#include "io/hdf5/hdf5.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace troupe::io {
namespace {

using test::expect_error;

TEST(Hdf5TextsTest, ComeBackAsTheyWere) {
  const test::temporary_folder folder;
  const std::vector<std::string> texts{"", "a", "Grüße, 世界", std::string(100000, 'x')};
  {
    hdf5_file file = hdf5_file::create(folder / "a.h5");
    file.write_texts("texts", texts);
    file.write_texts("none", {});
    file.write_text("one", texts[2]);
    file.close();
  }
  const hdf5_file file = hdf5_file::open(folder / "a.h5");
  EXPECT_EQ(file.read_texts("texts"), texts);
  EXPECT_TRUE(file.read_texts("none").empty());
  EXPECT_EQ(file.read_text("one"), texts[2]);
  EXPECT_TRUE(file.shape("texts").text);
  EXPECT_TRUE(file.shape("one").shape.empty());
}

TEST(Hdf5TextsTest, RefuseWhatIsNotOneText) {
  const test::temporary_folder folder;
  hdf5_file file = hdf5_file::create(folder / "a.h5");
  const std::vector<std::string> two{"a", "b"};
  const std::vector<float> number{1};
  file.write_texts("two", two);
  file.write<float>("number", {}, number);
  expect_error(errc::shape_mismatch, "has 2 texts, not 1", [&] { file.read_text("two"); });
  expect_error(errc::shape_mismatch, "'number' of", [&] { file.read_texts("number"); });
  expect_error(errc::not_found, "has no data set 'three'", [&] { file.read_text("three"); });
  expect_error(errc::bad_argument, "a text of 'nul' contains a NUL",
               [&] { file.write_text("nul", std::string("a\0b", 3)); });
  EXPECT_FALSE(file.exists("nul"));
}

}  // namespace
}  // namespace troupe::io
