#include "actors/protocol/rank_data.hpp"
#include "base/error.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {

TEST(SequenceId, SortsByDrawPromptSampleAndRefusesWhatDoesNotFit) {
  EXPECT_LT(make_sequence_id(1, 5, 9), make_sequence_id(1, 6, 0));
  EXPECT_LT(make_sequence_id(1, 6, 4095), make_sequence_id(2, 0, 0));
  EXPECT_THROW(make_sequence_id(0, 1U << 20, 0), error);
  EXPECT_THROW(make_sequence_id(0, 0, 4096), error);
}

TEST(SequenceId, SamplesOfAPromptShareItsKeyAndNobodyElseHasIt) {
  const uint64_t key = prompt_key_of(make_sequence_id(1, 5, 0));
  EXPECT_EQ(prompt_key_of(make_sequence_id(1, 5, 4095)), key);
  EXPECT_NE(prompt_key_of(make_sequence_id(1, 6, 0)), key);
  EXPECT_NE(prompt_key_of(make_sequence_id(2, 5, 0)), key);
}

}  // namespace troupe::actors
