// Which phases a data set serves.
#include "io/job/job.hpp"

#include <gtest/gtest.h>

namespace troupe::io {
namespace {

using phases = std::vector<phase>;

phases served(data_format format, int64_t prompt_words = 0) {
  return served_phases({.name = "a", .format = format, .prompt_words = prompt_words});
}

TEST(ServedPhases, AllThatTheFormatCan) {
  EXPECT_EQ(served(data_format::prompt_answer), (phases{phase::sft, phase::ppo}));
  EXPECT_EQ(served(data_format::pairs), (phases{phase::sft, phase::reward, phase::ppo}));
  EXPECT_EQ(served(data_format::hh_dialogue), (phases{phase::sft, phase::reward, phase::ppo}));
}

TEST(ServedPhases, TextHasPromptsOnlyWhereItsFirstWordsAreOne) {
  EXPECT_EQ(served(data_format::text), phases{phase::sft});
  EXPECT_EQ(served(data_format::text, 4), (phases{phase::sft, phase::ppo}));
}

TEST(ServedPhases, ConversationsTrainARewardModelOnlyWhereTheJobSaysSo) {
  EXPECT_EQ(served(data_format::conversations), (phases{phase::sft, phase::ppo}));
  EXPECT_TRUE(can_serve(data_format::conversations, false, phase::reward));
  EXPECT_EQ(served_phases({.name = "a", .format = data_format::conversations, .phases = {phase::reward}}),
            phases{phase::reward});
}

}  // namespace
}  // namespace troupe::io
