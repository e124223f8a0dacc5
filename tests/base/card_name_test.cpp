#include "base/card_name.hpp"

#include <gtest/gtest.h>

namespace troupe {

TEST(CardName, IsFoundInWhatAnErrorSays) {
  const std::string name = card_name(3, "NVIDIA H100 (80GB)", "node7.site.org");
  EXPECT_EQ(name, "card 3 (NVIDIA H100 (80GB), host node7.site.org)");
  EXPECT_EQ(card_name(1, "", "node7"), "card 1 (of unknown model, host node7)");
  const auto found = find_card_name("rank 5: policy: " + name + ": an illegal memory access was encountered");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->number, 3);
  EXPECT_EQ(found->host, "node7.site.org");
}

TEST(CardName, OtherCardsAreNoNames) {
  for (const char* text : {"", "card", "card ", "card x (a, host b)", "card 3", "card 3: its driver gives no memory",
                           "card 3 (a, host b", "card -1 (a, host b)", "card 99999999999999999999 (a, host b)"}) {
    EXPECT_FALSE(find_card_name(text)) << text;
  }
  EXPECT_EQ(find_card_name("a card 3 of this, and card 1 (a, host b)")->number, 1);
}

}  // namespace troupe
