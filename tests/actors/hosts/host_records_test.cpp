#include "actors/hosts/host_records.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {

using namespace std::chrono_literals;

TEST(HostRecords, AHostIsLeftOutForAWhileAndAfterThreeStrikesForGood) {
  host_records hosts;
  const auto start = host_records::clock::now();
  EXPECT_EQ(hosts.suspect("node2", start), "left out for 60 s");
  EXPECT_EQ(hosts.excluded(start + 59s), (std::set<std::string>{"node2"}));
  EXPECT_TRUE(hosts.excluded(start + 61s).empty());
  EXPECT_EQ(hosts.suspect("node2", start + 61s), "left out for 60 s");
  EXPECT_EQ(hosts.suspect("node2", start + 62s), "left out for good");
  EXPECT_EQ(hosts.excluded(start + 1h), (std::set<std::string>{"node2"}));
}

}  // namespace troupe::actors
