// Parts of rollouts that are under way: what the next attempt finds of them, and what it must not.
#include "io/experience/sampled_parts.hpp"
#include "io/files/atomic_file.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

namespace troupe::io {
namespace {

const rollout_key key = {.job_digest = "0123456789abcdef", .draw = 4, .rollbacks = 1};

class SampledParts : public ::testing::Test {
protected:
  void write(const rollout_key& of, const part_name& name, const std::string& text) const {
    write_sampled_part(run, of, name, test::to_bytes(text), fence);
  }
  std::vector<std::string> read(const rollout_key& of, int64_t attempt = 9) const {
    std::vector<std::string> texts;
    for (const auto& part : read_sampled_parts(run, of, attempt).sequences) {
      texts.emplace_back(reinterpret_cast<const char*>(part.data()), part.size());
    }
    return texts;
  }
  std::filesystem::path file() const { return run.rollouts() / "draw-000004/attempt-000001-rank-00000-000000.part"; }

  test::temporary_folder folder;
  run_directory run = run_directory::open_or_create(folder / "run");
  attempt_fence fence = run.fence(run.begin_attempt());
};

TEST_F(SampledParts, NothingIsFoundWhereNothingWasWritten) { EXPECT_TRUE(read(key).empty()); }

TEST_F(SampledParts, ThoseOfEarlierAttemptsAreFoundInTheOrderOfTheirNames) {
  write(key, {.attempt = 2, .rank = 0, .number = 0}, "third");
  write(key, {.attempt = 1, .rank = 3, .number = 0}, "second");
  write(key, {.attempt = 1, .rank = 1, .number = 11}, "");
  write(key, {.attempt = 1, .rank = 1, .number = 2}, "first");
  write(key, {.attempt = 3, .rank = 0, .number = 0}, "by the attempt that reads");
  EXPECT_EQ(read(key, 3), (std::vector<std::string>{"first", "", "second", "third"}));
}

TEST_F(SampledParts, ThoseOfAnotherJobDrawOrRollbackAreNotTaken) {
  write(key, {.attempt = 1}, "mine");
  for (const rollout_key& other : {rollout_key{.job_digest = "fedcba9876543210", .draw = 4, .rollbacks = 1},
                                   rollout_key{.job_digest = key.job_digest, .draw = 5, .rollbacks = 1},
                                   rollout_key{.job_digest = key.job_digest, .draw = 4, .rollbacks = 2}}) {
    EXPECT_TRUE(read(other).empty());
  }
  EXPECT_EQ(read(key), std::vector<std::string>{"mine"});
}

TEST_F(SampledParts, DamagedOnesArePassedOverAndTheOthersRead) {
  write(key, {.attempt = 1}, "the sequences");
  write(key, {.attempt = 2}, "the others");
  const auto whole = test::read_bytes(file());
  for (size_t length = 0; length < whole.size(); ++length) {
    write_file_atomically(file(), std::span(whole).first(length));
    EXPECT_EQ(read(key), std::vector<std::string>{"the others"}) << "the first " << length << " bytes";
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    auto flipped = whole;
    flipped[at] ^= std::byte{1};
    write_file_atomically(file(), flipped);
    const sampled_parts parts = read_sampled_parts(run, key, 9);
    EXPECT_EQ(parts.sequences.size(), 1U) << "byte " << at;
    ASSERT_EQ(parts.damaged.size(), 1U) << "byte " << at;
    EXPECT_NE(parts.damaged.front().find(file().string()), std::string::npos);
  }
}

TEST_F(SampledParts, FilesOfOtherNamesAreLeftAlone) {
  write(key, {.attempt = 1}, "mine");
  write_file_atomically(file().parent_path() / "notes.txt", "not a part");
  write_file_atomically(file().parent_path() / "attempt-000001-rank-00000-000000.part.bak", "not a part");
  EXPECT_EQ(read(key), std::vector<std::string>{"mine"});
}

TEST_F(SampledParts, OnlyThoseBeforeADrawAreRemoved) {
  rollout_key later = key;
  later.draw = 5;
  write(key, {.attempt = 1}, "old");
  write(later, {.attempt = 1}, "new");
  std::filesystem::create_directory(run.rollouts() / "mine");
  remove_sampled_parts(run, 5, fence);
  EXPECT_TRUE(read(key).empty());
  EXPECT_EQ(read(later), std::vector<std::string>{"new"});
  EXPECT_TRUE(std::filesystem::exists(run.rollouts() / "mine"));
}

TEST_F(SampledParts, AFolderThatCannotBeMadeOrListedIsAFailureOfTheDisk) {
  write_file_atomically(run.rollouts(), "no folder");
  test::expect_error(errc::io_failure, "cannot create the folder", [&] { write(key, {.attempt = 1}, "mine"); });
  test::expect_error(errc::io_failure, "cannot list", [&] { read(key); });
  test::expect_error(errc::io_failure, "cannot list", [&] { remove_sampled_parts(run, 5, fence); });
}

TEST_F(SampledParts, AnAttemptThatIsOverWritesAndRemovesNothing) {
  write(key, {.attempt = 1}, "mine");
  run.begin_attempt();
  EXPECT_THROW(write(key, {.attempt = 1, .number = 1}, "late"), error);
  EXPECT_THROW(remove_sampled_parts(run, 9, fence), error);
  EXPECT_EQ(read(key), std::vector<std::string>{"mine"});
}

}  // namespace
}  // namespace troupe::io
