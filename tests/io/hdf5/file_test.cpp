#include "io/hdf5/hdf5.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <span>
#include <vector>

namespace troupe::io {
namespace {

/// No file may be larger: stands for a full disk, and needs no root.
void limit_files(rlim_t bytes) {
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{bytes, RLIM_INFINITY};
  ::setrlimit(RLIMIT_FSIZE, &limit);
}

/// Ends the process: 0 if closing the file failed as it must.
[[noreturn]] void fail_to_close(const std::filesystem::path& path) {
  limit_files(4096);
  int status = 1;
  try {
    hdf5_file file = hdf5_file::create(path, 0);
    const std::vector<std::string> texts(100, std::string(1000, 'x'));
    file.write_texts("texts", texts);
    file.close();
  } catch (const error&) {
    status = 0;
  }
  std::exit(status);  // runs the handlers that libraries registered
}

/// Ends the process: 0 if no small data set was lost without a word while the disk was full for a moment.
[[noreturn]] void write_while_full(const std::filesystem::path& path) {
  const std::vector<float> values(1000, 1.5F);
  const auto bytes = std::as_bytes(std::span(values));
  hdf5_file file = hdf5_file::create(path, 0);
  file.write("a", dtype::f32, {1000}, bytes);
  limit_files(2048);
  try {
    file.write("b", dtype::f32, {1000}, bytes);
  } catch (const error&) {
    std::_Exit(0);
  }
  limit_files(RLIM_INFINITY);
  file.close();
  std::vector<float> back(1000);
  hdf5_file::open(path).read("b", dtype::f32, std::as_writable_bytes(std::span(back)));
  std::_Exit(back == values ? 0 : 1);
}

/// A file with one of each, in groups that are made on the way.
void write_sample(const std::filesystem::path& path, int64_t user_block_bytes = 0) {
  const std::vector<float> values{1, 2, 3};
  hdf5_file file = hdf5_file::create(path, user_block_bytes);
  file.write<float>("policy/weights/x", {3}, values);
  file.write_text("notes", "none");
  file.write_attribute("policy", "version", int64_t{7});
  file.close();
}

TEST(Hdf5FileTest, ListsItsDataSetsByPath) {
  const test::temporary_folder folder;
  write_sample(folder / "a.h5");
  const hdf5_file file = hdf5_file::open(folder / "a.h5");
  EXPECT_EQ(file.data_sets(), (std::vector<std::string>{"notes", "policy/weights/x"}));
  EXPECT_TRUE(file.exists("/policy/weights/x"));
  EXPECT_TRUE(file.exists("policy/weights"));
  EXPECT_TRUE(file.exists("/"));
  EXPECT_FALSE(file.exists("policy/weights/y"));
  EXPECT_FALSE(file.exists("reward/weights/x"));
}

TEST(Hdf5FileTest, WhatWasSyncedIsThereWithoutAClose) {
  const test::temporary_folder folder;
  const std::vector<float> values{1, 2, 3};
  hdf5_file file = hdf5_file::create(folder / "a.h5");
  file.write<float>("x", {3}, values);
  file.sync();
  std::filesystem::copy_file(folder / "a.h5", folder / "b.h5");  // as a crash would leave it
  file.write<float>("y", {3}, values);
  EXPECT_EQ(hdf5_file::open(folder / "b.h5").read<float>("x"), values);
}

TEST(Hdf5FileTest, TheSameValuesGiveTheSameBytes) {
  const test::temporary_folder folder;
  write_sample(folder / "a.h5");
  write_sample(folder / "b.h5");
  EXPECT_EQ(test::read_bytes(folder / "a.h5"), test::read_bytes(folder / "b.h5"));
}

TEST(Hdf5FileTest, LeavesTheUserBlockFree) {
  const test::temporary_folder folder;
  write_sample(folder / "a.h5", 512);
  const test::byte_vector bytes = test::read_bytes(folder / "a.h5");
  ASSERT_GT(bytes.size(), 516U);
  EXPECT_EQ(std::count(bytes.begin(), bytes.begin() + 512, std::byte{0}), 512);
  EXPECT_EQ(test::byte_vector(bytes.begin() + 513, bytes.begin() + 516), test::to_bytes("HDF"));
  EXPECT_EQ(hdf5_file::open(folder / "a.h5").read<float>("policy/weights/x"), (std::vector<float>{1, 2, 3}));
}

TEST(Hdf5FileTest, RefusesWhatItCannotOpenOrCreate) {
  const test::temporary_folder folder;
  std::ofstream(folder / "text") << "this is no HDF5 file";
  test::expect_error(errc::not_found, "nothing.h5 does not exist", [&] { hdf5_file::open(folder / "nothing.h5"); });
  test::expect_error(errc::bad_file, "cannot open '/' of", [&] { hdf5_file::open(folder / "text"); });
  test::expect_error(errc::io_failure, "No such file or directory", [&] { hdf5_file::create(folder / "no/a.h5"); });
}

TEST(Hdf5FileTest, AFileOpenedForReadingIsNotWrittenTo) {
  const test::temporary_folder folder;
  write_sample(folder / "a.h5");
  hdf5_file file = hdf5_file::open(folder / "a.h5");
  test::expect_error(errc::io_failure, "cannot write 'more'", [&] { file.write_text("more", "x"); });
}

TEST(Hdf5FullDiskTest, ADataSetThatDoesNotReachTheDiskIsAnError) {
  const test::temporary_folder folder;
  EXPECT_EXIT(write_while_full(folder / "a.h5"), testing::ExitedWithCode(0), "");
}

TEST(Hdf5ExitTest, AFailedCloseDoesNotCrashTheEndOfTheProcess) {
  const test::temporary_folder folder;
  EXPECT_EXIT(fail_to_close(folder / "a.h5"), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace troupe::io
