#include "io/experience/pairs_file.hpp"

#include "base/error.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace troupe::io {

static made_pair pair_of(uint64_t digest) {
  return {.prompt_digest = digest,
          .prompt_ids = {1, 2, 3},
          .chosen_ids = {4, 5},
          .rejected_ids = {6},
          .prompt = "<|im_start|>user\n\u00e9",
          .chosen = " yes",
          .rejected = "",
          .chosen_reward = 0.1,
          .rejected_reward = -2};
}

TEST(PairsFileTest, PartsAreJoinedAndReadAsTheyWereWritten) {
  const std::filesystem::path root = testing::TempDir() + "/pairs_file";
  std::filesystem::remove_all(root);
  const run_directory run = run_directory::open_or_create(root);
  const attempt_fence fence = run.fence(0);
  std::filesystem::create_directories(fence.folder());
  const std::vector<made_pair> first = {pair_of(0xFFFFFFFFFFFFFFFFULL), pair_of(0)};
  const std::vector<made_pair> second = {pair_of(0x0123456789ABCDEFULL)};
  write_pairs_part(run, 0, first, fence);
  write_pairs_part(run, 1, second, fence);
  EXPECT_EQ(count_pairs_parts(run), 2);
  join_pairs_parts(run, 2, fence);
  EXPECT_EQ(read_pairs(pairs_file(run)), (std::vector<made_pair>{first[0], first[1], second[0]}));
}

TEST(PairsFileTest, ALineWithoutIdsIsRefusedWithItsPlace) {
  const std::string path = testing::TempDir() + "/old_pairs.jsonl";
  std::ofstream(path) << R"({"prompt": "p", "chosen": "c", "rejected": "r"})" << '\n';
  try {
    read_pairs(path);
    FAIL() << "no error";
  } catch (const error& e) {
    EXPECT_EQ(e.code(), errc::bad_file);
    EXPECT_NE(std::string(e.what()).find(path + ", line 1: is not a pair"), std::string::npos) << e.what();
  }
  EXPECT_THROW(read_pairs(path + ".nowhere"), error);
}

}  // namespace troupe::io
