#include "base/error.hpp"
#include "engine/parallel/communicator.hpp"
#include "support/collective_checks.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <thread>

namespace troupe::engine {
namespace {

using std::chrono::milliseconds;

/// Runs `body` as every rank of a local world, each on a thread of its own.
void as_ranks(int ranks, milliseconds deadline, const std::function<void(world&)>& body) {
  const std::vector<std::unique_ptr<world>> worlds = local_worlds(ranks, deadline);
  std::vector<std::thread> threads;
  for (const auto& one : worlds) {
    threads.emplace_back([&body, &one] { body(*one); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

/// The error that `body` ends with; its text must hold `part`.
template <class Body> void expect_error(errc code, const std::string& part, const Body& body) {
  try {
    body();
    ADD_FAILURE() << "no error; expected one with: " << part;
  } catch (const error& e) {
    EXPECT_EQ(e.code(), code) << e.what();
    EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
  }
}

constexpr milliseconds patient{60000};
constexpr milliseconds impatient{50};

class LocalWorldTest : public testing::TestWithParam<int> {};

TEST_P(LocalWorldTest, EveryOperationEqualsItsNaiveTwin) {
  as_ranks(GetParam(), patient, [](world& w) { EXPECT_EQ(test::check_each_operation(w), test::findings{}); });
}

TEST_P(LocalWorldTest, ManyOperationsAreInFlightOnSeveralCommunicators) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    as_ranks(GetParam(), patient,
             [seed](world& w) { EXPECT_EQ(test::check_many_in_flight(w, seed, 40), test::findings{}); });
  }
}

TEST_P(LocalWorldTest, GroupsThatDivideTheRanksWorkSideBySide) {
  as_ranks(GetParam(), patient, [](world& w) { EXPECT_EQ(test::check_divided(w), test::findings{}); });
}

TEST_P(LocalWorldTest, TrafficIsWhatTheoryCounts) {
  as_ranks(GetParam(), patient, [](world& w) { EXPECT_EQ(test::check_traffic(w), test::findings{}); });
}

INSTANTIATE_TEST_SUITE_P(Ranks, LocalWorldTest, testing::Values(1, 2, 3, 4));

TEST(SoloWorldTest, EveryOperationEqualsItsNaiveTwin) {
  const std::unique_ptr<world> alone = solo_world();
  EXPECT_EQ(alone->rank(), 0);
  EXPECT_EQ(alone->size(), 1);
  EXPECT_EQ(test::check_each_operation(*alone), test::findings{});
  EXPECT_EQ(test::check_traffic(*alone), test::findings{});
}

TEST(LocalErrorTest, ARankThatNeverComesIsNamedAtTheDeadline) {
  as_ranks(3, impatient, [](world& w) {
    const communicator_ptr group = w.open("policy gradients");
    if (w.rank() != 1) {
      expect_error(errc::lost_peer, "of 'policy gradients' on rank ", [&] { barrier(*group); });
    }
  });
}

TEST(LocalErrorTest, ALateRankLearnsThatItIsAndTouchesNothing) {
  const std::vector<std::unique_ptr<world>> worlds = local_worlds(2, impatient);
  const communicator_ptr early = worlds[0]->open("weights");
  const communicator_ptr late = worlds[1]->open("weights");
  const std::vector<int64_t> offset_R1{0, 1, 2};
  std::vector<float> whole{1, 2};
  expect_error(errc::lost_peer, "all_gather 0 of 'weights' on rank 0 of 2: no answer within 50 ms, missing rank 1",
               [&] { early->all_gather(whole, offset_R1).wait(); });
  std::vector<float> of_late{3, 4};
  expect_error(errc::lost_peer, "missing rank 1", [&] { late->all_gather(of_late, offset_R1).wait(); });
  EXPECT_EQ(whole, (std::vector<float>{1, 2}));
  EXPECT_EQ(of_late, (std::vector<float>{3, 4}));
}

TEST(LocalErrorTest, AMessageWithoutItsTwinEndsAtTheDeadline) {
  const std::unique_ptr<world> alone = std::move(local_worlds(1, impatient).front());
  const communicator_ptr group = alone->open("activations");
  std::vector<std::byte> data(4);
  expect_error(errc::lost_peer, "receive 0 of 'activations' on rank 0 of 1 (peer 0, tag 9): no answer within 50 ms",
               [&] { group->receive(data, 0, 9).wait(); });
  expect_error(errc::lost_peer, "missing the receive", [&] { group->send(data, 0, 8).wait(); });
}

TEST(LocalErrorTest, DifferentOperationsAreRefusedOnEveryRank) {
  as_ranks(2, patient, [](world& w) {
    const communicator_ptr group = w.open("critic");
    const std::vector<int64_t> offset_R1{0, 1, 2};
    std::vector<float> whole(2);
    std::vector<std::byte> data(8);
    expect_error(errc::bad_argument, "'critic' is all_gather",
                 [&] { (w.rank() == 0 ? group->all_gather(whole, offset_R1) : group->broadcast(data, 0)).wait(); });
    expect_error(errc::bad_argument, "(root 1)", [&] { group->broadcast(data, w.rank()).wait(); });
    EXPECT_NO_THROW(barrier(*group));  // the communicator goes on
  });
}

TEST(LocalErrorTest, OperationsOfOneKindForDifferentThingsAreRefusedOnEveryRank) {
  as_ranks(2, patient, [](world& w) {
    const communicator_ptr group = w.open("policy gradients");
    const std::vector<int64_t> offset_R1{0, 1, 2};
    std::vector<float> whole(2);
    std::vector<std::byte> data(8);
    const std::string label = fmt::format("segment {}", w.rank());
    expect_error(errc::bad_argument,
                 "all_gather 0 of 'policy gradients' is for \"segment 0\" on rank 0 and for \"segment 1\"",
                 [&] { group->all_gather(whole, offset_R1, {.label = label}).wait(); });
    expect_error(errc::bad_argument, "is for \"segment 0\" on rank 0", [&] {
      (w.rank() == 0 ? group->send(data, 1, 0, {.label = label}) : group->receive(data, 0, 0, {.label = label})).wait();
    });
    EXPECT_NO_THROW(barrier(*group, {.label = "the end"}));
  });
}

TEST(LocalErrorTest, AnOperationMayHaveADeadlineOfItsOwn) {
  const std::vector<std::unique_ptr<world>> worlds = local_worlds(2, patient);
  const communicator_ptr group = worlds[0]->open("weights");
  std::vector<std::byte> data(4);
  expect_error(errc::lost_peer, "broadcast 0 (greeting) of 'weights' on rank 0 of 2: no answer within 20 ms",
               [&] { group->broadcast(data, 1, {.label = "greeting", .deadline = milliseconds(20)}).wait(); });
}

TEST(LocalErrorTest, DifferentSizesAreRefusedOnEveryRank) {
  as_ranks(2, patient, [](world& w) {
    const communicator_ptr group = w.open("critic");
    const auto own = static_cast<size_t>(w.rank());
    std::vector<float> whole(10);
    const std::vector<int64_t> offset_R1{0, 2 + w.rank(), 6};
    const std::vector<int64_t> byte_offset_R1{0, 5 + w.rank(), 10 + w.rank()};
    std::vector<float> part(own == 0 ? 2 : 3);
    std::vector<std::byte> data(10 + own);
    std::vector<std::byte> send(11);
    std::vector<std::byte> receive(11);
    const auto refused = [](pending p) { expect_error(errc::shape_mismatch, "'critic'", [&] { p.wait(); }); };
    refused(group->all_gather(whole, offset_R1));
    refused(group->reduce_scatter(whole, offset_R1, part));
    refused(group->broadcast(data, 0));
    refused(group->all_to_all(send, byte_offset_R1, receive, byte_offset_R1));
    refused(own == 0 ? group->send(data, 1, 0) : group->receive(data, 0, 0));
  });
}

TEST(LocalErrorTest, WrongArgumentsAreRefusedAtTheCall) {
  const std::unique_ptr<world> alone = solo_world();
  const communicator_ptr group = alone->open("x");
  std::vector<float> whole(4);
  std::vector<std::byte> data(4);
  const auto gather = [&](const std::vector<int64_t>& offset_R1) { group->all_gather(whole, offset_R1); };
  expect_error(errc::shape_mismatch, "3 offsets", [&] { gather({0, 1, 2}); });
  expect_error(errc::shape_mismatch, "offset 5", [&] { gather({0, 5}); });
  expect_error(errc::shape_mismatch, "offset 1 behind 2", [&] { gather({2, 1}); });
  expect_error(errc::shape_mismatch, "offset -1", [&] { gather({-1, 1}); });
  const std::vector<int64_t> offset_R1{0, 3};
  expect_error(errc::shape_mismatch, "room for 4", [&] { group->reduce_scatter(whole, offset_R1, whole); });
  expect_error(errc::bad_argument, "asked for rank 1", [&] { group->broadcast(data, 1); });
  expect_error(errc::bad_argument, "asked for rank -1", [&] { group->send(data, -1, 0); });
  expect_error(errc::bad_argument, "tag 40000", [&] { group->receive(data, 0, 40000); });
  const std::vector<int64_t> all_R1{0, 4};
  expect_error(errc::shape_mismatch, "3 bytes to itself, receives 4",
               [&] { group->all_to_all(data, offset_R1, data, all_R1); });
  EXPECT_THROW(local_worlds(0, patient), error);
}

TEST(LocalErrorTest, RanksThatOpenDifferentCommunicatorsAreRefused) {
  const std::vector<std::unique_ptr<world>> worlds = local_worlds(2, patient);
  worlds[0]->open("policy");
  expect_error(errc::bad_argument, "'critic' on rank 1 and 'policy'", [&] { worlds[1]->open("critic"); });
}

TEST(LocalErrorTest, GroupsThatAreNoneAreRefused) {
  const std::vector<std::unique_ptr<world>> worlds = local_worlds(3, patient);
  const auto open = [&](size_t rank, const std::vector<int>& members) { worlds[rank]->open("columns", members); };
  expect_error(errc::bad_argument, "rank 0 is not among the 2 members", [&] { open(0, {1, 2}); });
  expect_error(errc::bad_argument, "member 1 of the group is rank 3, ranks are 0 to 2", [&] { open(0, {0, 3}); });
  expect_error(errc::bad_argument, "rank 0, for the second time", [&] { open(0, {0, 0}); });
  open(0, {0, 1});
  expect_error(errc::bad_argument, "'columns' on rank 1: its group is of ranks 1, 2, another's of 0, 1", [&] {
    open(1, {1, 2});
  });
}

TEST(PendingTest, AForgottenOperationIsWaitedFor) {
  const std::unique_ptr<world> alone = solo_world();
  const communicator_ptr group = alone->open("x");
  std::vector<std::byte> data(3, std::byte{1});
  std::vector<std::byte> received(3);
  std::vector<std::byte> again(3);
  {
    pending receiving = group->receive(received, 0, 0);
    const pending sending = group->send(data, 0, 0);
    pending more = group->send(data, 0, 0);
    receiving = group->receive(again, 0, 0);
  }
  EXPECT_EQ(received, data);
  EXPECT_EQ(again, data);
}

}  // namespace
}  // namespace troupe::engine
