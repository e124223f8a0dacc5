// Preference pairs that a run makes: a part for each iteration, and all of them joined.
#include "io/experience/pairs_file.hpp"
#include "io/files/atomic_file.hpp"
#include "io/files/mapped_file.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

namespace troupe::io {
namespace {

made_pair pair_of(const std::string& prompt, uint64_t digest) {
  return {.prompt_digest = digest,
          .prompt_ids = {1, 2},
          .chosen_ids = {4, 5},
          .rejected_ids = {6},
          .prompt = prompt,
          .chosen = " yes",
          .rejected = " no",
          .chosen_reward = 1.5,
          .rejected_reward = -1};
}

class PairsFile : public ::testing::Test {
protected:
  void write(int64_t iteration, const std::string& prompt) const {
    const made_pair pair = pair_of(prompt, 0x0123456789ABCDEFULL);
    write_pairs_part(run, iteration, {&pair, 1}, fence);
  }

  test::temporary_folder folder;
  run_directory run = run_directory::open_or_create(folder / "run");
  attempt_fence fence = run.fence(run.begin_attempt());
};

TEST_F(PairsFile, PartsAreJoinedInTheirOrder) {
  write(1, "second");
  write(0, "first");
  EXPECT_EQ(count_pairs_parts(run), 2);
  join_pairs_parts(run, 2, fence);
  const std::string rest = "\",\"chosen\":\" yes\",\"rejected\":\" no\",\"chosen_reward\":1.5,\"rejected_reward\":-1.0,"
                           "\"prompt_digest\":\"0123456789abcdef\",\"prompt_ids\":[1,2],\"chosen_ids\":[4,5],"
                           "\"rejected_ids\":[6]}\n";
  EXPECT_EQ(read_text_file(pairs_file(run)), "{\"prompt\":\"first" + rest + "{\"prompt\":\"second" + rest);
}

TEST_F(PairsFile, PairsAreReadAsTheyWereWritten) {
  const std::vector<made_pair> pairs = {pair_of("<|im_start|>user\n\u00e9", 0xFFFFFFFFFFFFFFFFULL), pair_of("", 0)};
  write_pairs_part(run, 0, pairs, fence);
  join_pairs_parts(run, 1, fence);
  EXPECT_EQ(read_pairs(pairs_file(run)), pairs);
}

TEST_F(PairsFile, ALineWithoutIdsIsRefusedWithItsPlace) {
  const std::string path = (folder / "old.jsonl").string();
  write_file_atomically(path, "{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\"}\n");
  test::expect_error(errc::bad_file, path + ", line 1: is not a pair", [&] { read_pairs(path); });
  test::expect_error(errc::not_found, "no such file", [&] { read_pairs(path + ".nowhere"); });
}

TEST_F(PairsFile, WorkGoesOnAtTheFirstGap) {
  EXPECT_EQ(count_pairs_parts(run), 0);
  write(0, "first");
  write(2, "third");
  EXPECT_EQ(count_pairs_parts(run), 1);
  test::expect_error(errc::not_found, "part-000001.jsonl: this part", [&] { join_pairs_parts(run, 3, fence); });
  EXPECT_FALSE(std::filesystem::exists(pairs_file(run)));
}

TEST_F(PairsFile, AFolderThatCannotBeMadeIsAFailureOfTheDisk) {
  write_file_atomically(run.root() / "pairs", "no folder");
  test::expect_error(errc::io_failure, "cannot create the folder", [&] { write(0, "first"); });
}

TEST_F(PairsFile, AnAttemptThatIsOverWritesNothing) {
  run.begin_attempt();
  EXPECT_ANY_THROW(write(0, "late"));
  EXPECT_EQ(count_pairs_parts(run), 0);
}

}  // namespace
}  // namespace troupe::io
