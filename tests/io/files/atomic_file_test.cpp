#include "io/files/atomic_file.hpp"
#include "io/files/mapped_file.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <functional>
#include <set>
#include <string>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;
using test::caught;
using test::expect_error;
using test::temporary_folder;

TEST(AtomicFileTest, AppearsOnlyAtCommit) {
  const temporary_folder folder;
  atomic_file file(folder / "a.bin");
  file.write("hello ");
  file.write("world");
  EXPECT_EQ(file.written(), 11);
  EXPECT_FALSE(fs::exists(folder / "a.bin"));
  EXPECT_TRUE(fs::exists(folder / "a.bin.tmp"));
  file.commit();
  EXPECT_EQ(read_text_file(folder / "a.bin"), "hello world");
  EXPECT_FALSE(fs::exists(folder / "a.bin.tmp"));
}

TEST(AtomicFileTest, LeavesNothingWithoutCommitAndTheOldFileAsItWas) {
  const temporary_folder folder;
  write_file_atomically(folder / "a", std::string_view("old"));
  { atomic_file(folder / "a").write("new"); }
  EXPECT_EQ(read_text_file(folder / "a"), "old");
  EXPECT_FALSE(fs::exists(folder / "a.tmp"));
}

TEST(AtomicFileTest, WritesAtOffsetsInAnyOrder) {
  const temporary_folder folder;
  atomic_file file(folder / "a");
  file.write_at(3, test::to_bytes("def"));
  file.write("abc");
  EXPECT_EQ(file.written(), 3);
  file.commit();
  EXPECT_EQ(read_text_file(folder / "a"), "abcdef");
}

TEST(AtomicFileTest, OverwritesWhatAKilledWriterLeft) {
  const temporary_folder folder;
  write_file_atomically(folder / "a.tmp", std::string_view("a longer rest of an earlier writer"));
  write_file_atomically(folder / "a", std::string_view("short"));
  EXPECT_EQ(read_text_file(folder / "a"), "short");
}

TEST(AtomicFileTest, RefusesASecondWriterOfTheSameTarget) {
  const temporary_folder folder;
  atomic_file first(folder / "a");
  first.write("first");
  expect_error(errc::io_failure, "another process is writing", [&] { atomic_file second(folder / "a"); });
  first.commit();
  EXPECT_EQ(read_text_file(folder / "a"), "first");
}

TEST(AtomicFileTest, NamesThePathThatCannotBeCreated) {
  expect_error(errc::io_failure, "/nonexistent-folder/a.tmp: No such file",
               [] { atomic_file("/nonexistent-folder/a"); });
}

/// Runs `action` in a child process and returns the text of its error ("" if none).
std::string error_in_child(const std::function<void()>& action) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto failure = caught(action);
    const std::string text = failure ? failure->what() : "";
    const ssize_t written = ::write(ends[1], text.data(), text.size());
    ::_exit(written == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  ::close(ends[1]);
  std::string text;
  char piece[512];
  for (ssize_t n = 0; (n = ::read(ends[0], piece, sizeof(piece))) > 0;) {
    text.append(piece, static_cast<size_t>(n));
  }
  ::close(ends[0]);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  return text;
}

TEST(AtomicFileTest, ReportsAFileThatGrowsBeyondTheLimitAndKeepsTheOldOne) {
  const temporary_folder folder;
  write_file_atomically(folder / "a", std::string_view("old"));
  const std::string text = error_in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    write_file_atomically(folder / "a", std::string(10000, 'x'));
  });
  EXPECT_NE(text.find("cannot write 5904 bytes at offset 4096 of " + (folder / "a.tmp").string()), std::string::npos)
      << text;
  EXPECT_NE(text.find("File too large"), std::string::npos) << text;
  EXPECT_EQ(read_text_file(folder / "a"), "old");
  EXPECT_FALSE(fs::exists(folder / "a.tmp"));
}

/// Lets this process mount what only it sees: as root, or as the root of a user namespace of its
/// own.
void enter_mount_namespace() {
  const uid_t user = ::getuid();
  const gid_t group = ::getgid();
  if (::unshare(CLONE_NEWNS) != 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
      throw error(errc::unsupported, "no namespaces");
    }
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << "0 " << user << " 1";
    std::ofstream("/proc/self/gid_map") << "0 " << group << " 1";
  }
  ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
}

TEST(AtomicFileTest, ReportsAFullDisk) {
  const temporary_folder folder;
  const std::string text = error_in_child([&] {
    enter_mount_namespace();
    if (::mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=64k") != 0) {
      throw error(errc::unsupported, "no tmpfs");
    }
    write_file_atomically(folder / "small", std::string_view("kept"));
    const auto failure = caught([&] { write_file_atomically(folder / "a", std::string(1 << 20, 'x')); });
    const bool kept = read_text_file(folder / "small") == "kept" && !fs::exists(folder / "a.tmp");
    throw error(errc::io_failure, "{}{}", kept ? "" : "damaged: ", failure ? failure->what() : "no error");
  });
  if (text.starts_with("no ")) {
    GTEST_SKIP() << text << ": this system lets no test mount a small file system";
  }
  EXPECT_TRUE(text.starts_with("cannot write")) << text;
  EXPECT_NE(text.find("No space left on device"), std::string::npos) << text;
}

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

TEST(AtomicFolderTest, AppearsWholeAndReplacesAnOlderOne) {
  const temporary_folder folder;
  const fs::path target = folder / "models/x";
  {
    atomic_folder first(target);
    write_file_atomically(first.staging() / "old.txt", std::string_view("1"));
    EXPECT_FALSE(fs::exists(target));
    first.commit();
  }
  EXPECT_EQ(read_text_file(target / "old.txt"), "1");
  atomic_folder second(fs::path(target.string() + "/"));
  fs::create_directories(second.staging() / "sub");
  write_file_atomically(second.staging() / "sub/new.txt", std::string_view("2"));
  EXPECT_TRUE(fs::exists(target / "old.txt"));
  second.commit();
  EXPECT_FALSE(fs::exists(target / "old.txt"));
  EXPECT_EQ(read_text_file(target / "sub/new.txt"), "2");
  EXPECT_EQ(names_in(folder / "models"), (std::set<std::string>{"x"}));
}

TEST(AtomicFolderTest, LeavesTheOldFolderWithoutCommit) {
  const temporary_folder folder;
  fs::create_directories(folder / "x");
  write_file_atomically(folder / "x/a", std::string_view("old"));
  {
    atomic_folder next(folder / "x");
    write_file_atomically(next.staging() / "a", std::string_view("new"));
  }
  EXPECT_EQ(read_text_file(folder / "x/a"), "old");
  EXPECT_EQ(names_in(folder.path()), (std::set<std::string>{"x"}));
}

TEST(AtomicFolderTest, WhatLiesBesideItIsLeftAlone) {
  const temporary_folder folder;
  for (const char* name : {"x.tmp", "x.old", ".x.f32"}) {
    fs::create_directories(folder / name);
    write_file_atomically(folder / name / "mine", std::string_view("mine"));
  }
  for (int i = 0; i < 2; ++i) {  // the second replaces the first
    atomic_folder next(folder / "x");
    EXPECT_TRUE(fs::is_empty(next.staging()));
    next.commit();
  }
  EXPECT_EQ(names_in(folder.path()), (std::set<std::string>{"x", "x.tmp", "x.old", ".x.f32"}));
  EXPECT_EQ(read_text_file(folder / "x.old/mine"), "mine");
}

TEST(AtomicFolderTest, WhatCameInItsPlaceMeanwhileStays) {
  const temporary_folder folder;
  atomic_folder next(folder / "x");
  fs::create_directories(folder / "x");
  write_file_atomically(folder / "x/mine", std::string_view("mine"));
  expect_error(errc::io_failure, "cannot rename", [&] { next.commit(); });
  EXPECT_EQ(read_text_file(folder / "x/mine"), "mine");
}

TEST(AtomicFolderTest, AWorkplaceOfTheCallersStartsEmpty) {
  const temporary_folder folder;
  fs::create_directories(folder / "workplace");
  write_file_atomically(folder / "workplace/stale", std::string_view("stale"));
  atomic_folder next(folder / "x", folder / "workplace");
  EXPECT_TRUE(fs::is_empty(next.staging()));
}

TEST(AtomicFolderTest, RefusesAFileInItsPlace) {
  const temporary_folder folder;
  write_file_atomically(folder / "x", std::string_view("a file"));
  expect_error(errc::io_failure, "a file of that name", [&] { atomic_folder next(folder / "x"); });
}

TEST(MappedFileTest, SharesTheBytesAfterTheFileIsReplaced) {
  const temporary_folder folder;
  write_file_atomically(folder / "a", std::string_view("first"));
  const auto mapped = mapped_file::open(folder / "a");
  write_file_atomically(folder / "a", std::string_view("second"));
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(mapped->bytes().data()), mapped->bytes().size()), "first");
  EXPECT_EQ(read_text_file(folder / "a"), "second");
}

TEST(MappedFileTest, NamesWhatCannotBeRead) {
  const temporary_folder folder;
  expect_error(errc::not_found, (folder / "none").string(), [&] { mapped_file::open(folder / "none"); });
  expect_error(errc::io_failure, "not a regular file", [&] { mapped_file::open(folder.path()); });
  write_file_atomically(folder / "empty", std::string_view());
  EXPECT_TRUE(mapped_file::open(folder / "empty")->bytes().empty());
}

}  // namespace
}  // namespace troupe::io
