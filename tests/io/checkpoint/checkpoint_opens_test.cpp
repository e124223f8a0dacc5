// How often R ranks that restore open or look up files of a checkpoint, all together: O(R).
#include "io/checkpoint/checkpoint.hpp"
#include "support/temporary_folder.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdarg>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace {

struct counted {
  int64_t opens = 0, looks = 0;
};
counted counts;

/// Of the checkpoint's folder only.
bool counts_for(const char* path) { return std::strstr(path, "/update-000001/") != nullptr; }

template <class Function> Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

template <class... Args> int counted_open(const char* name, const char* path, Args... args) {
  counts.opens += counts_for(path) ? 1 : 0;
  return next<int(const char*, Args...)>(name)(path, args...);
}

template <class Status> int counted_look(const char* name, const char* path, Status* status) {
  counts.looks += counts_for(path) ? 1 : 0;
  return next<int(const char*, Status*)>(name)(path, status);
}

mode_t mode_of(int flags, va_list& more) { return (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0; }

}  // namespace

// Stand before the C library's in this program, for HDF5 and the standard library too.
extern "C" {

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = mode_of(flags, more);
  va_end(more);
  return counted_open("open", path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = mode_of(flags, more);
  va_end(more);
  return counted_open("open64", path, flags, mode);
}

int stat(const char* path, struct stat* status) noexcept { return counted_look("stat", path, status); }
int stat64(const char* path, struct stat64* status) noexcept { return counted_look("stat64", path, status); }
int lstat(const char* path, struct stat* status) noexcept { return counted_look("lstat", path, status); }

}  // extern "C"

namespace troupe::io {

static checkpoint_content part_of(int rank, int64_t ranks, const std::vector<float>& values) {
  checkpoint_content content;
  content.arrays.push_back({.name = "policy/weights/w",
                            .shape = {ranks, static_cast<int64_t>(values.size())},
                            .begin = rank * static_cast<int64_t>(values.size()),
                            .end = (rank + 1) * static_cast<int64_t>(values.size()),
                            .values = values});
  content.integers["policy/updates"] = 7;
  return content;
}

TEST(CheckpointOpens, AreAsManyAsTheRanksAndNotTheirSquare) {
  constexpr int ranks = 512;
  const test::temporary_folder root;
  const attempt_fence fence(root / "fence", [] {});
  std::filesystem::create_directory(fence.folder());
  const auto folder = checkpoint_folder(root.path(), "sft", "update", 1);
  checkpoint_manifest manifest{.attempt = 1, .phase = "sft", .unit = "update", .counter = 1, .ranks = ranks};
  for (int rank = 0; rank < ranks; ++rank) {
    const std::vector<float> values(4, static_cast<float>(rank));
    manifest.files.push_back(write_checkpoint(folder, part_of(rank, ranks, values), rank, ranks, fence));
  }
  commit_checkpoint(folder, std::move(manifest), fence);

  counts = {};
  const auto newest = newest_checkpoint(root.path(), "sft");  // rank 0's, for all
  ASSERT_TRUE(newest);
  for (int rank = 0; rank < ranks; ++rank) {
    EXPECT_FALSE(find_damage(folder, newest->files, rank, ranks));  // its share
  }
  const counted looked_for = counts;
  counts = {};
  for (int rank = 0; rank < ranks; ++rank) {
    const checkpoint_reader reader(folder, true);
    std::vector<float> own(4);
    reader.read("policy/weights/w", 4 * rank, own);
    EXPECT_EQ(own[0], static_cast<float>(rank));
    EXPECT_EQ(reader.integer("policy/updates", reader.writer("policy/weights/w")), 7);
  }
  RecordProperty("opens to find a sound one", static_cast<int>(looked_for.opens));
  RecordProperty("looks to find a sound one", static_cast<int>(looked_for.looks));
  RecordProperty("opens to read", static_cast<int>(counts.opens));
  RecordProperty("looks to read", static_cast<int>(counts.looks));
  EXPECT_GE(counts.opens, 3 * ranks - 1) << "they are counted: manifest, checkpoint.h5, its own file";
  EXPECT_LE(counts.opens + counts.looks, 10 * ranks);
  EXPECT_LE(looked_for.opens + looked_for.looks, 10 * ranks);
}

}  // namespace troupe::io
