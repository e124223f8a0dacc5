// Preference pairs that a run makes: a part for each iteration, and all of them joined.
#include "io/experience/pairs_file.hpp"
#include "io/files/mapped_file.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

namespace troupe::io {
namespace {

class PairsFile : public ::testing::Test {
protected:
  void write(int64_t iteration, const std::string& prompt) const {
    const preference_text pair{prompt, " yes", " no", 1.5, -1};
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
  EXPECT_EQ(read_text_file(pairs_file(run)),
            "{\"prompt\":\"first\",\"chosen\":\" yes\",\"rejected\":\" no\",\"chosen_reward\":1.5,"
            "\"rejected_reward\":-1.0}\n"
            "{\"prompt\":\"second\",\"chosen\":\" yes\",\"rejected\":\" no\",\"chosen_reward\":1.5,"
            "\"rejected_reward\":-1.0}\n");
}

TEST_F(PairsFile, WorkGoesOnAtTheFirstGap) {
  EXPECT_EQ(count_pairs_parts(run), 0);
  write(0, "first");
  write(2, "third");
  EXPECT_EQ(count_pairs_parts(run), 1);
  test::expect_error(errc::not_found, "part-000001.jsonl: this part", [&] { join_pairs_parts(run, 3, fence); });
  EXPECT_FALSE(std::filesystem::exists(pairs_file(run)));
}

TEST_F(PairsFile, AnAttemptThatIsOverWritesNothing) {
  run.begin_attempt();
  EXPECT_ANY_THROW(write(0, "late"));
  EXPECT_EQ(count_pairs_parts(run), 0);
}

}  // namespace
}  // namespace troupe::io
