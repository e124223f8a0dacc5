// Files of lines that only grow: whole lines, whatever a crash left.
#include "base/descriptor.hpp"
#include "io/files/line_file.hpp"
#include "io/files/mapped_file.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <fstream>

namespace troupe::io {
namespace {

class LineFile : public ::testing::Test {
protected:
  void write(std::string_view bytes) const { std::ofstream(path, std::ios::binary) << bytes; }

  test::temporary_folder folder;
  std::filesystem::path path = folder / "lines";
};

TEST_F(LineFile, LinesAreAppended) {
  {
    line_file file(path);
    file.append("one", false);
    file.append("", true);
  }
  line_file(path).append("three", false);
  EXPECT_EQ(read_text_file(path), "one\n\nthree\n");
}

TEST_F(LineFile, AnUnfinishedLineIsCutOnOpening) {
  write("one\ntwo\nthr");
  line_file(path).append("3", false);
  EXPECT_EQ(read_text_file(path), "one\ntwo\n3\n");
  write("never finished");
  line_file(path).append("1", false);
  EXPECT_EQ(read_text_file(path), "1\n");
}

TEST_F(LineFile, AnUnfinishedLineMayBeLongerThanWhatIsReadAtOnce) {
  write("one\n" + std::string(300'000, 'x'));
  line_file(path).append("two", false);
  EXPECT_EQ(read_text_file(path), "one\ntwo\n");
}

TEST_F(LineFile, CompleteLinesAreVisitedWithTheirNumbers) {
  write("one\n\nthree\nunfinished");
  std::vector<std::pair<std::string, int64_t>> seen;
  for_each_line(path, [&](std::string_view text, int64_t number) { seen.emplace_back(text, number); });
  EXPECT_EQ(seen, (std::vector<std::pair<std::string, int64_t>>{{"one", 1}, {"", 2}, {"three", 3}}));
}

TEST_F(LineFile, WhatCannotBeOpenedIsNamed) {
  test::expect_error(errc::io_failure, "/no/such/lines", [] { line_file("/no/such/lines"); });
  test::expect_error(errc::not_found, path.string(), [&] { for_each_line(path, [](auto, auto) {}); });
}

TEST_F(LineFile, AFullDiskIsSaidWithTheBytes) {
  const descriptor full(::open("/dev/full", O_WRONLY));
  test::expect_error(errc::io_failure, "cannot append 3 bytes to lines: No space left",
                     [&] { write_all(full.get(), "one", "lines"); });
}

}  // namespace
}  // namespace troupe::io
