// What crosses processes arrives as it was sent.
#include "support/stepped_actors.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace troupe::actors {
namespace {

/// As another process gets it.
template <class Message> Message sent_over(Message message) {
  test::stepped_actors actors;
  std::vector<char> bytes;
  caf::binary_serializer sink(actors.system(), bytes);
  EXPECT_EQ(sink(message), caf::none);
  Message arrived;
  caf::binary_deserializer source(actors.system(), bytes);
  EXPECT_EQ(source(arrived), caf::none);
  return arrived;
}

/// A diverged model's perplexity is infinite, and CAF by itself would pack it for ever.
TEST(Messages, StatisticsArriveToTheLastBitWhateverTheyAre) {
  using limits = std::numeric_limits<double>;
  train_reply reply{.statistics = {{"infinite", limits::infinity()},
                                   {"below", -limits::infinity()},
                                   {"nan", limits::quiet_NaN()},
                                   {"negative zero", -0.0},
                                   {"denormal", limits::denorm_min()},
                                   {"largest", limits::max()},
                                   {"third", 1.0 / 3}},
                    .tokens = 12,
                    .seconds = 0.1};
  const train_reply arrived = sent_over(reply);
  ASSERT_EQ(arrived.statistics.size(), reply.statistics.size());
  for (const auto& [name, value] : reply.statistics) {
    EXPECT_EQ(std::bit_cast<uint64_t>(arrived.statistics.at(name)), std::bit_cast<uint64_t>(value)) << name;
  }
  EXPECT_EQ(arrived.tokens, 12);
  EXPECT_EQ(arrived.seconds, 0.1);
}

TEST(Messages, StatisticsReplaceWhatWasThere) {
  test::stepped_actors actors;
  std::vector<char> bytes;
  statistics sent = {{"a", 1.0}};
  caf::binary_serializer sink(actors.system(), bytes);
  EXPECT_EQ(sink(sent), caf::none);
  statistics arrived = {{"b", 2.0}};
  caf::binary_deserializer source(actors.system(), bytes);
  EXPECT_EQ(source(arrived), caf::none);
  EXPECT_EQ(arrived, sent);
}

}  // namespace
}  // namespace troupe::actors
