// How a process ends after HDF5 could not write a file.

#include "io/hdf5.hpp"
#include "kernels/base/error.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
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
