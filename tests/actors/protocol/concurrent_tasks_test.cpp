#include "actors/protocol/concurrent_tasks.hpp"

#include <gtest/gtest.h>

#include <string>

namespace troupe::actors {

namespace {

/// What a plan may wait for.
struct event {
  std::coroutine_handle<> plan;
  bool come = false;

  bool await_ready() const noexcept { return come; }
  void await_suspend(std::coroutine_handle<> waiting) { plan = waiting; }
  void await_resume() const noexcept {}
  void happen() {
    come = true;
    if (const auto waiting = std::exchange(plan, nullptr)) {
      waiting.resume();
    }
  }
};

struct stage {
  concurrent_tasks beside;
  event a, b;
  std::string log;
};

task<> part(stage& on, event& wanted, std::string name) {
  on.log += name + " begins; ";
  co_await wanted;
  on.log += name + " ends; ";
}

task<> failing_part(stage& on, event& wanted, errc code) {
  co_await wanted;
  on.log += "failure; ";
  throw error(code, "the part's failure");
}

task<> whole(stage& on, std::vector<task<>> parts) {
  try {
    co_await on.beside.run(std::move(parts));
    on.log += "all ended; ";
  } catch (const error& failure) {
    on.log += std::string("caught ") + failure.what() + "; ";
  }
}

/// The plan of `parts` side by side, begun.
template <class... Parts> task<> begun(stage& on, Parts... parts) {
  std::vector<task<>> all;
  (all.push_back(std::move(parts)), ...);
  task<> plan = whole(on, std::move(all));
  plan.start();
  return plan;
}

TEST(SideBySide, EachPartGoesOnWhenItsOwnEventHasCome) {
  stage on;
  const task<> plan = begun(on, part(on, on.a, "a"), part(on, on.b, "b"));
  on.b.happen();
  EXPECT_EQ(on.log, "a begins; b begins; b ends; ");
  on.a.happen();
  EXPECT_EQ(on.log, "a begins; b begins; b ends; a ends; all ended; ");
  EXPECT_TRUE(plan.done());
}

TEST(SideBySide, PartsThatNeverWaitAndNoPartsEndAtOnce) {
  stage on;
  on.a.come = true;
  const task<> plan = begun(on, part(on, on.a, "a"));
  EXPECT_EQ(on.log, "a begins; a ends; all ended; ");
  const task<> none = begun(on);
  EXPECT_TRUE(none.done());
}

TEST(SideBySide, FailureThatAllRanksFindWaitsForTheOtherParts) {
  stage on;
  const task<> plan = begun(on, failing_part(on, on.a, errc::not_finite), part(on, on.b, "b"));
  on.a.happen();
  EXPECT_EQ(on.log, "b begins; failure; ");
  on.b.happen();
  EXPECT_EQ(on.log, "b begins; failure; b ends; caught the part's failure; ");
}

TEST(SideBySide, FailureThatMayLeaveOthersWaitingIsToldAtOnce) {
  stage on;
  const task<> plan = begun(on, part(on, on.b, "b"), failing_part(on, on.a, errc::lost_peer));
  on.a.happen();
  EXPECT_EQ(on.log, "b begins; failure; caught the part's failure; ");
  on.b.happen();  // comes late, and finds its part still there
  EXPECT_EQ(on.log, "b begins; failure; caught the part's failure; b ends; ");
  const task<> again = begun(on, part(on, on.b, "next"));
  EXPECT_TRUE(again.done());
}

}  // namespace

}  // namespace troupe::actors
