#include "base/error.hpp"
#include "io/files/mapped_file.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

namespace troupe::io {

TEST(MappedFileTest, HoldsTheBytesOfAFile) {
  const test::temporary_folder folder;
  std::ofstream(folder / "a") << "abc";
  std::ofstream(folder / "empty") << "";
  EXPECT_EQ(read_text_file(folder / "a"), "abc");
  EXPECT_EQ(read_text_file(folder / "empty"), "");
}

TEST(MappedFileTest, WhatIsNoRegularFileIsRefusedAndNotWaitedFor) {
  const test::temporary_folder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  test::expect_error(errc::io_failure, "not a regular file", [&] { mapped_file::open(folder / "pipe"); });
  test::expect_error(errc::io_failure, "not a regular file", [&] { mapped_file::open(folder.path()); });
  test::expect_error(errc::not_found, "No such file", [&] { mapped_file::open(folder / "nothing"); });
}

TEST(MappedFileTest, APointerOfGitLfsIsNotTheFile) {
  const test::temporary_folder folder;
  std::ofstream(folder / "model.safetensors") << "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n";
  test::expect_error(errc::bad_file, "model.safetensors: is a pointer of Git LFS",
                     [&] { mapped_file::open(folder / "model.safetensors"); });
}

}  // namespace troupe::io
