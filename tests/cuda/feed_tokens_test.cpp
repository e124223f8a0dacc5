#include "kernels/feed_tokens.hpp"
#include "support/emulation/card_test.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace troupe::kernels {
namespace {

struct fed {
  std::vector<int32_t> tokens, context;
  friend bool operator==(const fed&, const fed&) = default;
};

/// `count` rows, of which each third is given; the others' come from the row as far from the end, and every seventh of
/// those has drawn nothing.
fed feed(context& ctx, int64_t count) {
  const auto size = static_cast<size_t>(count);
  std::vector<int32_t> given, source;
  std::vector<sampled_token> drawn;
  std::vector<int64_t> context_at;
  for (int32_t n = 0; n < count; ++n) {
    given.push_back(1000 + n);
    source.push_back(n % 3 == 0 ? -1 : static_cast<int32_t>(count) - 1 - n);
    drawn.push_back({.token = n % 7 == 6 ? -1 : 10 + n});
    context_at.push_back(n % 2 == 0 ? -1 : 2 * n);
  }
  fed result{std::vector<int32_t>(size, -7), std::vector<int32_t>(2 * size, -7)};
  feed_tokens(ctx, {.token_N = result.tokens.data(),
                    .given_N = given.data(),
                    .source_N = source.data(),
                    .drawn_M = drawn.data(),
                    .context = result.context.data(),
                    .context_at_N = context_at.data(),
                    .n = count});
  return result;
}

TEST(CudaFeedTokensTest, IsTheHosts) {
  thread_pool pool(1);
  context on_host{pool};
  for (const emulation::thread_order order : test::thread_orders) {
    test::emulated_context card(order);
    for (const int64_t count : {0, 1, 31, 256, 300}) {
      EXPECT_EQ(feed(card.ctx, count), feed(on_host, count)) << count;
    }
  }
}

TEST(CudaFeedTokensTest, TakesFromTheSourceOrWhatIsGivenAndTellsTheContext) {
  test::emulated_context card;
  const fed got = feed(card.ctx, 8);
  // Rows 1, 2, 4, 5, 7 come from 6 (which drew nothing), 5, 3, 2, 0.
  EXPECT_EQ(got.tokens, (std::vector<int32_t>{1000, 0, 15, 1003, 13, 12, 1006, 10}));
  std::vector<int32_t> context(16, -7);
  context[2] = 0;
  context[6] = 1003;
  context[10] = 12;
  context[14] = 10;
  EXPECT_EQ(got.context, context);
}

}  // namespace
}  // namespace troupe::kernels
