// What HDF5 does to the process that it is in.
#include "io/hdf5/library.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <thread>

namespace troupe::io::h5 {
namespace {

[[noreturn]] void tell() {
  std::fputs("terminated\n", stderr);
  std::_Exit(7);
}

TEST(Hdf5LibraryDeathTest, ItsExitIsToldAsTheEndOfTheProgram) {
  EXPECT_EXIT(
      {
        std::set_terminate(tell);
        const library_lock lock;
        std::exit(-1);
      },
      testing::ExitedWithCode(7), "terminated");
}

TEST(Hdf5LibraryDeathTest, AnExitBesideItStaysWhatItIs) {
  EXPECT_EXIT(
      {
        std::set_terminate(tell);
        { const library_lock lock; }
        std::exit(3);
      },
      testing::ExitedWithCode(3), "");
  EXPECT_EXIT(
      {
        std::set_terminate(tell);
        const library_lock lock;
        std::thread([] { std::exit(3); }).join();
      },
      testing::ExitedWithCode(3), "");
}

}  // namespace
}  // namespace troupe::io::h5
