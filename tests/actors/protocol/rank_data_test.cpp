#include "actors/protocol/rank_data.hpp"
#include "base/error.hpp"

#include <gtest/gtest.h>

#include <set>

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

TEST(BatchId, SaysTheKindOfItsBatchAndIsUnique) {
  std::set<uint64_t> ids;
  for (const uint64_t counter : {0U, 1U, 7U}) {
    for (const serving what : {serving::training, serving::held_out, serving::prompts, serving::mixture}) {
      const uint64_t id = make_batch_id(what, counter);
      EXPECT_EQ(kind_of_batch(id), batch_kind::examples);
      EXPECT_TRUE(ids.insert(id).second);
    }
    for (const uint64_t index : {0U, 1U, 7U}) {
      const uint64_t id = make_minibatch_id(counter, index);
      EXPECT_EQ(kind_of_batch(id), batch_kind::experience);
      EXPECT_TRUE(ids.insert(id).second);
    }
  }
}

}  // namespace troupe::actors
