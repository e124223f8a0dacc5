#include "actors/host_records.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {

using namespace std::chrono_literals;

TEST(HostRecords, AHostIsLeftOutForAWhileAndAfterThreeStrikesForGood) {
  host_records hosts;
  const auto start = host_records::clock::now();
  hosts.suspect("node2", start);
  EXPECT_EQ(hosts.excluded(start + 59s), (std::set<std::string>{"node2"}));
  EXPECT_TRUE(hosts.excluded(start + 61s).empty());
  hosts.suspect("node2", start + 61s);
  hosts.suspect("node2", start + 62s);
  EXPECT_EQ(hosts.excluded(start + 1h), (std::set<std::string>{"node2"}));
}

}  // namespace troupe::actors
