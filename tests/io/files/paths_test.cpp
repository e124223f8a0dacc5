// Names and folders: what the system refuses is an error of this program, whatever the reason.
#include "io/files/paths.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;
using test::expect_error;

class Paths : public ::testing::Test {
protected:
  Paths() {
    std::ofstream(file) << "text";
    fs::create_symlink(loop, loop);
  }

  test::temporary_folder folder;
  fs::path file = folder / "file", loop = folder / "loop";
};

TEST_F(Paths, WhatCannotBeLookedUpIsNotTakenForAbsent) {
  EXPECT_TRUE(is_there(file));
  EXPECT_FALSE(is_there(file / "below"));
  EXPECT_FALSE(is_there(folder / "none"));
  EXPECT_TRUE(is_folder(folder.path()));
  EXPECT_FALSE(is_folder(file));
  EXPECT_FALSE(is_folder(folder / "none"));
  expect_error(errc::io_failure, "cannot look up " + loop.string(), [&] { is_there(loop); });
  expect_error(errc::io_failure, "cannot look up " + loop.string(), [&] { is_folder(loop); });
}

TEST_F(Paths, AFolderIsMadeWithThoseThatItLiesIn) {
  make_folder(folder / "a/b");
  make_folder(folder / "a/b");
  make_folder("");
  EXPECT_TRUE(is_folder(folder / "a/b"));
  expect_error(errc::io_failure, "cannot create the folder " + (file / "b").string(), [&] { make_folder(file / "b"); });
}

TEST_F(Paths, EntriesComeByNameAndNoneOfAFolderThatIsNotThere) {
  EXPECT_EQ(entries_of(folder.path()),
            (std::vector<fs::directory_entry>{fs::directory_entry(file), fs::directory_entry(loop)}));
  EXPECT_TRUE(entries_of(folder / "none").empty());
  expect_error(errc::io_failure, "cannot list " + file.string(), [&] { entries_of(file); });
}

TEST_F(Paths, ANameIsChangedOrTheReasonToldWithBoth) {
  rename_path(file, folder / "other");
  EXPECT_TRUE(is_there(folder / "other"));
  expect_error(errc::io_failure, "cannot rename " + file.string() + " to " + (folder / "third").string(),
               [&] { rename_path(file, folder / "third"); });
}

TEST_F(Paths, WhatIsThereIsRemovedWhole) {
  make_folder(folder / "a/b");
  remove_tree(folder / "a");
  remove_tree(folder / "a");
  EXPECT_FALSE(is_there(folder / "a"));
}

}  // namespace
}  // namespace troupe::io
