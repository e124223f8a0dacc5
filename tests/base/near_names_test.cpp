#include "base/near_names.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace troupe {

TEST(NearNames, DistanceCountsLetters) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("run", "rnu"), 2U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
}

TEST(NearNames, OnlyWhatIsNearIsSuggested) {
  const std::vector<std::string> commands = {"run", "plan", "submit", "tokenize"};
  EXPECT_EQ(near_name("rnu", commands), "run");
  EXPECT_EQ(near_name("tokenise", commands), "tokenize");
  EXPECT_EQ(near_name("sbumit", commands), "submit");
  EXPECT_EQ(near_name("x", commands), "") << "any word of three letters would do";
  EXPECT_EQ(near_name("", commands), "");
  EXPECT_EQ(near_name("evaluate", commands), "");
  EXPECT_EQ(did_you_mean("rnu", commands), "; did you mean run?");
  EXPECT_EQ(did_you_mean("evaluate", commands), "");
  EXPECT_EQ(near_name("run", {}), "");
}

}  // namespace troupe
