// How a process ends after HDF5 could not write a file.

#include "io/hdf5.hpp"
#include "kernels/base/error.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <vector>

namespace troupe::io {
namespace {

/// Ends the process: 0 if closing the file failed as it must.
[[noreturn]] void fail_to_close(const std::filesystem::path& path) {
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{4096, 4096};  // bytes a file may have: stands for a full disk, and needs no root
  ::setrlimit(RLIMIT_FSIZE, &limit);
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

TEST(Hdf5ExitTest, AFailedCloseDoesNotCrashTheEndOfTheProcess) {
  const test::temporary_folder folder;
  EXPECT_EXIT(fail_to_close(folder / "a.h5"), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace troupe::io
