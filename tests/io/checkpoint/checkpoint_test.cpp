/// Checkpoints: what is written comes back on any number of ranks; whatever is damaged or cut short is
/// found out and the one before is used.
#include "base/error.hpp"
#include "io/checkpoint/checkpoint.hpp"
#include "io/files/mapped_file.hpp"
#include "io/hdf5/hdf5.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <numeric>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;
using test::temporary_folder;

/// The fence of an attempt that nothing ends.
const temporary_folder fences;
const attempt_fence allow(fences.path(), [] {});

std::vector<float> numbers(int64_t n, float first = 0.5F) {
  std::vector<float> values(static_cast<size_t>(n));
  std::iota(values.begin(), values.end(), first);
  return values;
}

checkpoint_manifest manifest_of(int64_t counter, std::vector<checkpoint_file> files) {
  checkpoint_manifest manifest;
  manifest.attempt = 3;
  manifest.phase = "ppo";
  manifest.unit = "iteration";
  manifest.counter = counter;
  manifest.ranks = static_cast<int>(files.size());
  manifest.counters = {{"updates", int64_t{40}}, {"score", 0.25}, {"exact", true}, {"lane", "a"}};
  manifest.digests = {{"job", "00000000000000aa"}};
  manifest.files = std::move(files);
  return manifest;
}

const std::vector<float> weights = numbers(12);

checkpoint_content small_content() {
  checkpoint_content content;
  content.arrays.push_back({.name = "policy/weights/w", .shape = {3, 4}, .values = weights});
  content.integers["policy/step"] = 7;
  content.reals["kl"] = 0.1;
  content.texts["cursor"] = "h\xc3\xa9llo";
  return content;
}

fs::path write_small(const fs::path& root, int64_t counter, const attempt_fence& fence = allow) {
  const fs::path folder = checkpoint_folder(root, "ppo", "iteration", counter);
  commit_checkpoint(folder, manifest_of(counter, {write_checkpoint(folder, small_content(), 0, 1, fence)}), fence);
  return folder;
}

std::string bytes_of(const fs::path& path) { return read_text_file(path); }

void overwrite(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

TEST(CheckpointTest, EverythingWrittenComesBack) {
  const temporary_folder folder;
  const checkpoint_reader reader(write_small(folder.path(), 20));
  EXPECT_EQ(reader.array_names(), std::vector<std::string>{"policy/weights/w"});
  EXPECT_EQ(reader.shape("policy/weights/w"), (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(reader.read("policy/weights/w"), weights);
  EXPECT_EQ(reader.integer("policy/step"), 7);
  EXPECT_EQ(reader.real("kl"), 0.1);
  EXPECT_EQ(reader.text("cursor"), "h\xc3\xa9llo");
  EXPECT_EQ(reader.scalar_names(), (std::vector<std::string>{"cursor", "kl", "policy/step"}));
  EXPECT_EQ(reader.manifest().counter, 20);
  EXPECT_EQ(get_int(reader.manifest().counters, "updates", 0), 40);
  EXPECT_EQ(get_double(reader.manifest().counters, "score", 0), 0.25);
  EXPECT_EQ(reader.manifest().digests.at("job"), "00000000000000aa");
}

TEST(CheckpointTest, EqualContentGivesEqualBytes) {
  const temporary_folder a, b;
  const fs::path first = write_small(a.path(), 20);
  ::usleep(1100 * 1000);  // a time stamp would differ by then
  const fs::path second = write_small(b.path(), 20);
  for (const std::string& name : names_in(first)) {
    EXPECT_EQ(bytes_of(first / name), bytes_of(second / name)) << name;
  }
}

TEST(CheckpointTest, PartsOfThreeRanksAreOneArrayForAnyReader) {
  const temporary_folder root;
  const fs::path folder = checkpoint_folder(root.path(), "ppo", "iteration", 1);
  const std::vector<float> whole = numbers(3 * 5 * 7);
  const std::vector<int64_t> cuts = {0, 23, 23, 105};  // inside rows; the second rank has nothing
  std::vector<checkpoint_file> files;
  for (int rank = 0; rank < 3; ++rank) {
    checkpoint_content content;
    const auto begin = cuts[static_cast<size_t>(rank)], end = cuts[static_cast<size_t>(rank) + 1];
    content.arrays.push_back({.name = "x",
                              .shape = {3, 5, 7},
                              .begin = begin,
                              .end = end,
                              .fill = [&](int64_t offset, std::span<float> out) {
                                std::copy_n(whole.begin() + offset, out.size(), out.begin());
                              }});
    content.integers["cursor"] = 100 + rank;
    files.push_back(write_checkpoint(folder, content, rank, 3, allow));
  }
  commit_checkpoint(folder, manifest_of(1, files), allow);
  // The virtual data set shows the values to tools that know nothing of ranks.
  EXPECT_EQ(hdf5_file::open(folder / "checkpoint.h5").read<float>("x"), whole);
  const checkpoint_reader reader(folder);
  EXPECT_EQ(reader.read("x"), whole);
  EXPECT_EQ(reader.integer("cursor", 2), 102);
  EXPECT_EQ(reader.writer("x"), 0);
  for (int64_t begin = 0; begin < 105; begin += 13) {
    std::vector<float> part(static_cast<size_t>(std::min<int64_t>(29, 105 - begin)));
    reader.read("x", begin, part);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + begin)) << begin;
  }
}

TEST(CheckpointTest, AMissingOrDoublePartIsRefusedAtCommit) {
  for (const int64_t second_begin : {int64_t{5}, int64_t{7}}) {
    const temporary_folder root;
    std::vector<checkpoint_file> files;
    const std::span<const float> all(weights);
    const int64_t cuts[2][2] = {{0, 6}, {second_begin, 12}};
    for (int rank = 0; rank < 2; ++rank) {
      const auto [begin, end] = cuts[rank];
      checkpoint_content content;
      content.arrays.push_back({.name = "x",
                                .shape = {12},
                                .begin = begin,
                                .end = end,
                                .values = all.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)),
                                .fill = nullptr});
      files.push_back(write_checkpoint(root.path(), content, rank, 2, allow));
    }
    EXPECT_THROW(commit_checkpoint(root.path(), manifest_of(1, files), allow), error);
    EXPECT_FALSE(fs::exists(root / "manifest.json"));
  }
}

/// Values of an array that no rank is said to hold would read as zeros.
TEST(CheckpointTest, AnArrayWithoutPiecesIsRefused) {
  const temporary_folder root;
  const fs::path folder = write_small(root.path(), 1);
  using indices = std::vector<int64_t>;
  for (const auto& [ranks, begins] : {std::pair(indices{}, indices{}), std::pair(indices{0}, indices{4}),
                                      std::pair(indices{0}, indices{0, 6}), std::pair(indices{0, 0}, indices{6, 0})}) {
    hdf5_file whole = hdf5_file::create(folder / "checkpoint.h5");
    whole.write<float>("policy/weights/w", {3, 4}, weights);
    whole.write_attribute("policy/weights/w", "piece_rank", std::span<const int64_t>(ranks));
    whole.write_attribute("policy/weights/w", "piece_begin", std::span<const int64_t>(begins));
    whole.close();
    try {
      const checkpoint_reader reader(folder, true);
      FAIL() << "read with " << begins.size() << " pieces";
    } catch (const error& refusal) {
      EXPECT_NE(std::string(refusal.what()).find("the pieces of 'policy/weights/w' contradict each other"),
                std::string::npos)
          << refusal.what();
    }
  }
}

TEST(CheckpointTest, BadContentIsRefusedBeforeAnythingIsWritten) {
  const temporary_folder root;
  checkpoint_content twice = small_content();
  twice.integers["kl"] = 1;
  checkpoint_content nested = small_content();
  nested.reals["policy"] = 1;
  checkpoint_content short_values = small_content();
  short_values.arrays[0].shape = {13};
  checkpoint_content outside = small_content();
  outside.arrays[0].end = 13;
  for (const checkpoint_content& content : {twice, nested, short_values, outside}) {
    EXPECT_THROW(write_checkpoint(root.path() / "c", content, 0, 1, allow), error);
    EXPECT_FALSE(fs::exists(root / "c"));
  }
}

TEST(CheckpointTest, AStaleAttemptCommitsNothing) {
  const temporary_folder root;
  const attempt_fence refuse(allow.folder(), [] { throw error(errc::interrupted, "attempt 1 is over"); });
  EXPECT_THROW(write_checkpoint(root.path(), small_content(), 0, 1, refuse), error);
  EXPECT_TRUE(names_in(root.path()).empty());
  const checkpoint_file entry = write_checkpoint(root.path(), small_content(), 0, 1, allow);
  EXPECT_THROW(commit_checkpoint(root.path(), manifest_of(1, {entry}), refuse), error);
  EXPECT_EQ(names_in(root.path()), std::vector<std::string>{"rank-00000.h5"});
}

/// True if the checkpoint of `folder` is refused, by an error and nothing worse.
bool refused(const fs::path& folder) {
  try {
    verify_checkpoint(folder, read_manifest(folder));
    return false;
  } catch (const error&) {
    return true;
  }
}

/// In place: to write the file anew each time would wait for the disk.
void put_byte(const fs::path& path, size_t offset, char byte) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(offset)).put(byte);
}

TEST(CheckpointTest, EveryFlippedByteIsFoundOut) {
  const temporary_folder root;
  const fs::path folder = write_small(root.path(), 20);
  for (const std::string name : {"manifest.json", "rank-00000.h5", "checkpoint.h5"}) {
    const std::string good = bytes_of(folder / name);
    const size_t step = name == "manifest.json" ? 1 : 7;
    for (size_t i = 0; i < good.size(); i += step) {
      put_byte(folder / name, i, static_cast<char>(good[i] ^ (1 << (i % 8))));
      ASSERT_TRUE(refused(folder)) << name << " byte " << i;
      put_byte(folder / name, i, good[i]);
    }
    ASSERT_FALSE(refused(folder));
  }
}

TEST(CheckpointTest, EveryTruncationIsFoundOut) {
  const temporary_folder root;
  const fs::path folder = write_small(root.path(), 20);
  for (const std::string name : {"manifest.json", "rank-00000.h5", "checkpoint.h5"}) {
    const std::string good = bytes_of(folder / name);
    for (size_t size = good.size(); size-- > 0;) {
      fs::resize_file(folder / name, size);
      ASSERT_TRUE(refused(folder)) << name << " cut to " << size;
    }
    fs::remove(folder / name);
    ASSERT_TRUE(refused(folder));
    overwrite(folder / name, good);
  }
}

/// What a run goes on from, and what it passes over.
struct latest_checkpoint {
  fs::path folder;
  std::vector<std::string> problems;
};

latest_checkpoint latest_of(const fs::path& root, const std::string& phase) {
  latest_checkpoint latest;
  for (auto one = newest_checkpoint(root, phase); one; one = newest_checkpoint(root, phase, one->counter)) {
    std::string problem = one->problem;
    if (problem.empty()) {
      const auto damage = find_damage(one->folder, one->files, 0, 1);
      problem = damage ? damage->problem : "";
    }
    if (problem.empty()) {
      latest.folder = one->folder;
      return latest;
    }
    latest.problems.push_back(problem);
  }
  return latest;
}

TEST(CheckpointTest, ADamagedNewestOneFallsBackAndSaysSo) {
  const temporary_folder root;
  const fs::path first = write_small(root.path(), 20);
  const fs::path second = write_small(root.path(), 40);
  EXPECT_EQ(latest_of(root.path(), "ppo").folder, second);
  std::string bad = bytes_of(second / "rank-00000.h5");
  bad[bad.size() / 2] = static_cast<char>(bad[bad.size() / 2] ^ 1);
  overwrite(second / "rank-00000.h5", bad);
  const latest_checkpoint latest = latest_of(root.path(), "ppo");
  EXPECT_EQ(latest.folder, first);
  ASSERT_EQ(latest.problems.size(), 1U);
  EXPECT_NE(latest.problems[0].find("iteration-000040/rank-00000.h5"), std::string::npos);
  remove_checkpoints_after(root.path(), "ppo", 20, allow);
  EXPECT_FALSE(fs::exists(second));
  EXPECT_TRUE(latest_of(root.path(), "ppo").problems.empty());
  EXPECT_TRUE(latest_of(root.path(), "sft").folder.empty());
}

TEST(CheckpointTest, DamageIsFoundByWhoHasTheFileInItsShare) {
  const temporary_folder root;
  const fs::path folder = write_small(root.path(), 20);
  const auto files = newest_checkpoint(root.path(), "ppo")->files;
  ASSERT_EQ(files.size(), 2U);
  EXPECT_FALSE(find_damage(folder, files, 0, 1));
  EXPECT_FALSE(find_damage(folder, files, 2, 3)) << "an empty share";
  const std::string good = bytes_of(folder / "checkpoint.h5");
  put_byte(folder / "checkpoint.h5", good.size() / 2, static_cast<char>(good[good.size() / 2] ^ 1));
  EXPECT_FALSE(find_damage(folder, files, 0, 2));
  EXPECT_EQ(find_damage(folder, files, 1, 2)->index, 1);
  fs::resize_file(folder / "rank-00000.h5", 100);
  EXPECT_EQ(find_damage(folder, files, 0, 1)->index, 0) << "the first in order";
  EXPECT_NE(newest_checkpoint(root.path(), "ppo")->problem.find("rank-00000.h5 has 100 bytes"), std::string::npos);
  EXPECT_FALSE(newest_checkpoint(root.path(), "ppo", 20));
}

/// Else a node with a stale mount would have good checkpoints removed.
TEST(Checkpoint, WhatCannotBeReadIsNotTakenForDamaged) {
  const temporary_folder root;
  const fs::path folder = write_small(root.path(), 20);
  const auto files = newest_checkpoint(root.path(), "ppo")->files;
  const auto code_of = [](const auto& read) {
    try {
      read();
    } catch (const error& failure) {
      return std::optional(failure.code());
    }
    return std::optional<errc>();
  };
  const fs::path elsewhere = root / "elsewhere";
  fs::rename(folder, elsewhere);  // as on a node that does not have the file system
  EXPECT_EQ(code_of([&] { find_damage(folder, files, 0, 1); }), errc::io_failure);
  fs::rename(elsewhere, folder);

  fs::rename(folder / "rank-00000.h5", elsewhere);
  EXPECT_TRUE(find_damage(folder, files, 0, 1)) << "lost beside its manifest";
  EXPECT_FALSE(newest_checkpoint(root.path(), "ppo")->problem.empty());
  fs::create_directory(folder / "rank-00000.h5");  // reading it fails
  EXPECT_EQ(code_of([&] { find_damage(folder, files, 0, 1); }), errc::io_failure);
  EXPECT_EQ(code_of([&] { newest_checkpoint(root.path(), "ppo"); }), errc::io_failure);

  std::ofstream(root / "sft") << "not a folder";
  EXPECT_EQ(code_of([&] { newest_checkpoint(root.path(), "sft"); }), errc::io_failure);
  EXPECT_EQ(code_of([&] { remove_checkpoints_after(root.path(), "sft", -1, allow); }), errc::io_failure);
}

TEST(CheckpointTest, ACrashBetweenAnyTwoStepsLeavesTheOneBefore) {
  // Each question to the fence, and each state between the calls, is a moment at which a process may die.
  const temporary_folder root;
  const fs::path first = write_small(root.path(), 20);
  const fs::path second = checkpoint_folder(root.path(), "ppo", "iteration", 40);
  int states = 0;
  const std::function<void()> crash_here = [&] {
    const temporary_folder copy;
    fs::copy(root.path(), copy.path(), fs::copy_options::recursive);
    const latest_checkpoint latest = latest_of(copy.path(), "ppo");
    EXPECT_EQ(latest.folder, checkpoint_folder(copy.path(), "ppo", "iteration", 20));
    EXPECT_TRUE(latest.problems.empty());
    ++states;
  };
  const attempt_fence fence(allow.folder(), crash_here);
  const checkpoint_file entry = write_checkpoint(second, small_content(), 0, 1, fence);
  crash_here();
  commit_checkpoint(second, manifest_of(40, {entry}), fence);
  EXPECT_EQ(states, 7);
  EXPECT_EQ(latest_of(root.path(), "ppo").folder, second);
  // Written once more, as after a fallback: the old manifest goes before the file that it describes.
  write_checkpoint(second, small_content(), 0, 1, allow);
  EXPECT_EQ(latest_of(root.path(), "ppo").folder, first);
}

TEST(CheckpointTest, PruningKeepsTheLastAndTheBest) {
  const temporary_folder root;
  for (const int64_t counter : {10, 20, 30, 40}) {
    write_small(root.path(), counter);
  }
  const fs::path phase = root.path() / "ppo";
  fs::create_directories(phase / "iteration-000005");  // unfinished
  fs::create_directories(phase / "iteration-000050");  // being written
  prune_checkpoints(root.path(), "ppo", 2, allow, phase / "iteration-000010");
  EXPECT_EQ(names_in(phase),
            (std::vector<std::string>{"iteration-000010", "iteration-000030", "iteration-000040", "iteration-000050"}));
  EXPECT_THROW(prune_checkpoints(root.path(), "ppo", 0, allow), error);
}

TEST(CheckpointTest, PruningRemovesNothingWhereOneCannotBeRead) {
  const temporary_folder root;
  for (const int64_t counter : {10, 20, 30, 40}) {
    write_small(root.path(), counter);
  }
  const fs::path phase = root.path() / "ppo";
  const fs::path manifest = phase / "iteration-000030" / "manifest.json";
  const fs::path aside = root.path() / "manifest.json";
  fs::rename(manifest, aside);
  fs::create_directory(manifest);  // what reading it gives is an error of the system
  test::expect_error(errc::io_failure, manifest.string(), [&] { prune_checkpoints(root.path(), "ppo", 2, allow); });
  EXPECT_EQ(names_in(phase).size(), 4U);
  fs::remove(manifest);
  fs::rename(aside, manifest);
  prune_checkpoints(root.path(), "ppo", 2, allow);
  EXPECT_EQ(names_in(phase), (std::vector<std::string>{"iteration-000030", "iteration-000040"}));
}

TEST(CheckpointTest, AFullDiskLeavesTheOneBeforeAndNoFinalName) {
  const temporary_folder root;
  const fs::path disk = root / "disk";
  fs::create_directory(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "mounting a small file system needs root";
  }
  const attempt_fence on_disk(disk / "fence", [] {});
  fs::create_directory(on_disk.folder());
  const fs::path first = write_small(disk, 20, on_disk);
  const std::vector<float> large = numbers(1 << 20);
  // Every way of failing: while values are written, and while HDF5 flushes what it kept in memory.
  for (int64_t filler = 0; filler < 300; filler += 23) {
    const fs::path second = checkpoint_folder(disk, "ppo", "iteration", 40);
    checkpoint_content content = small_content();
    const int64_t size = filler == 0 ? 1 << 20 : 1000 * (300 - filler) + 150000;
    content.arrays.push_back({.name = "large",
                              .shape = {size},
                              .values = std::span(large).first(static_cast<size_t>(size)),
                              .fill = nullptr});
    for (int i = 0; i < 40; ++i) {
      content.texts[fmt::format("text/{}", i)] = std::string(4000, 'x');
    }
    try {
      const checkpoint_file entry = write_checkpoint(second, content, 0, 1, on_disk);
      fs::remove(second / entry.name);
    } catch (const error& failure) {
      EXPECT_EQ(failure.code(), errc::io_failure);
      EXPECT_NE(std::string(failure.what()).find("No space left"), std::string::npos) << failure.what();
      EXPECT_TRUE(!fs::exists(second) || names_in(second).empty());
      EXPECT_TRUE(names_in(on_disk.folder()).empty());
    }
    EXPECT_EQ(latest_of(disk, "ppo").folder, first);
  }
  EXPECT_EQ(::umount(disk.c_str()), 0);  // fails if HDF5 left a file open
}

TEST(CheckpointTest, TheManifestRefusesWhatItCannotMean) {
  std::vector<checkpoint_file> files = {{"rank-00000.h5", 5, "00000000000000aa"},
                                        {"checkpoint.h5", 6, "00000000000000bb"}};
  checkpoint_manifest good = manifest_of(1, files);
  good.ranks = 1;
  EXPECT_EQ(parse_manifest(manifest_text(good), "m").files[1].bytes, 6);
  const auto bad = [&](auto change) {
    checkpoint_manifest manifest = good;
    change(manifest);
    EXPECT_THROW(parse_manifest(manifest_text(manifest), "m"), error);
  };
  bad([](auto& m) { m.ranks = 2; });
  bad([](auto& m) { m.ranks = 0; });
  bad([](auto& m) { m.unit = "step"; });
  bad([](auto& m) { m.counter = -1; });
  bad([](auto& m) { m.files[0].name = "../rank-00000.h5"; });
  bad([](auto& m) { m.files[0].bytes = -1; });
  bad([](auto& m) { m.files[0].digest = "x"; });
}

}  // namespace
}  // namespace troupe::io
