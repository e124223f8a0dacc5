// Plans as coroutines, errors across actors, and handles that must not leave the process: with CAF's deterministic
// scheduler, no threads and no sleeps.
#include "actors/protocol/error_replies.hpp"
#include "actors/protocol/rank_data.hpp"
#include "actors/protocol/task.hpp"
#include "actors/protocol/type_ids.hpp"
#include "support/stepped_actors.hpp"

#include <caf/all.hpp>
#include <gtest/gtest.h>

namespace troupe::actors {

namespace {

using doubling_actor = caf::typed_actor<caf::replies_to<score_atom, int64_t>::with<int64_t>>;

doubling_actor::behavior_type doubling(doubling_actor::pointer) {
  return {replying_errors([](score_atom, int64_t number) {
    if (number < 0) {
      throw error(errc::bad_argument, "{} is negative", number);
    }
    return 2 * number;
  })};
}

/// Asks twice and remembers what came.
struct asker_state {
  task<int64_t> ask_once(doubling_actor of, int64_t number) {
    co_return co_await ask<int64_t>(self, of, score_atom_v, number);
  }
  task<> run(doubling_actor of, int64_t number) {
    try {
      first = co_await ask_once(of, number);
      second = co_await ask_once(of, first);
    } catch (const error& failure) {
      caught = failure.what();
      code = failure.code();
    }
  }

  /// Asks all at once: the i-th to double number + i.
  task<> run_together(std::vector<doubling_actor> of, int64_t number) {
    try {
      const auto message_of = [=](size_t i) { return std::make_tuple(score_atom_v, number + static_cast<int64_t>(i)); };
      all = co_await ask_each<int64_t>(self, of, message_of);
    } catch (const error& failure) {
      code = failure.code();
    }
  }

  caf::event_based_actor* self = nullptr;
  std::vector<int64_t> all;
  task<> plan;
  int64_t first = 0, second = 0;
  std::string caught;
  errc code = errc::unsupported;
};

class Task : public ::testing::Test {
protected:
  void run() { actors.run(); }

  /// Starts the plan in an actor of its own and runs until nothing is left to do.
  asker_state& perform(const doubling_actor& of, int64_t number) {
    return perform([of, number](asker_state& state) { return state.run(of, number); });
  }
  asker_state& perform_together(const std::vector<doubling_actor>& of, int64_t number) {
    return perform([of, number](asker_state& state) { return state.run_together(of, number); });
  }
  template <class Function> asker_state& perform(Function begin) {
    asker = system.spawn([&, begin](caf::stateful_actor<asker_state>* self) {
      self->state.self = self;
      self->state.plan = begin(self->state);
      self->state.plan.start();
      state = &self->state;
      self->set_default_handler(caf::drop);
      return caf::behavior{[](stop_atom) {}};  // lives until it is told to go
    });
    run();
    return *state;
  }
  void TearDown() override { actors.end(asker); }

  test::stepped_actors actors;
  caf::actor_system& system = actors.system();
  caf::actor asker;
  asker_state* state = nullptr;
};

TEST_F(Task, AwaitsOneReplyAfterAnother) {
  const auto of = system.spawn(doubling);
  const asker_state& done = perform(of, 3);
  EXPECT_EQ(done.first, 6);
  EXPECT_EQ(done.second, 12);
  EXPECT_TRUE(done.plan.done());
}

TEST_F(Task, ErrorOfAHandlerArrivesWithCodeAndText) {
  const auto of = system.spawn(doubling);
  const asker_state& done = perform(of, -1);
  EXPECT_EQ(done.caught, "-1 is negative");
  EXPECT_EQ(done.code, errc::bad_argument);
}

TEST_F(Task, DeathOfTheAskedIsALostPeer) {
  const auto of = system.spawn(doubling);
  caf::anon_send_exit(of, caf::exit_reason::kill);
  run();
  EXPECT_EQ(perform(of, 3).code, errc::lost_peer);
}

TEST_F(Task, RepliesOfManyComeByReceiver) {
  const std::vector<doubling_actor> three = {system.spawn(doubling), system.spawn(doubling), system.spawn(doubling)};
  EXPECT_EQ(perform_together(three, 5).all, (std::vector<int64_t>{10, 12, 14}));
}

TEST_F(Task, OneFailureAmongManyEndsThePlanThoughOthersNeverAnswer) {
  const auto silent = system.spawn([](caf::event_based_actor*) {
    return caf::behavior{[](score_atom, int64_t) { return caf::delegated<int64_t>(); }};
  });
  const std::vector<doubling_actor> three = {caf::actor_cast<doubling_actor>(silent), system.spawn(doubling),
                                             system.spawn(doubling)};
  const asker_state& done = perform_together(three, -2);  // the second is asked for -1: refused
  EXPECT_TRUE(done.plan.done());
  EXPECT_EQ(done.code, errc::bad_argument);
  caf::anon_send_exit(silent, caf::exit_reason::kill);
}

TEST_F(Task, FailureThatAllFindIsHeardFromAllBeforeThePlanGoesOn) {
  int asked = 0;
  const auto nan = [&asked](doubling_actor::pointer) -> doubling_actor::behavior_type {
    return {replying_errors([&asked](score_atom, int64_t) -> int64_t {
      ++asked;
      throw error(errc::not_finite, "the gradient norm is NaN");
    })};
  };
  const asker_state& done = perform_together({system.spawn(nan), system.spawn(nan), system.spawn(nan)}, 1);
  EXPECT_EQ(done.code, errc::not_finite);
  EXPECT_EQ(asked, 3);
}

TEST_F(Task, SuspendedPlanDiesWithItsActor) {
  const auto silent = system.spawn([](caf::event_based_actor*) {
    return caf::behavior{[](score_atom, int64_t) { return caf::delegated<int64_t>(); }};
  });
  const asker_state& waiting = perform(caf::actor_cast<doubling_actor>(silent), 3);
  EXPECT_FALSE(waiting.plan.done());
  caf::anon_send_exit(silent, caf::exit_reason::kill);  // TearDown ends the asker: nothing may be touched after it
}

TEST(LocalHandle, RefusesToBeSerialised) {
  test::stepped_actors actors;
  std::vector<char> bytes;
  caf::binary_serializer sink(actors.system(), bytes);
  batch_handle handle{std::make_shared<example_batch>()};
  EXPECT_TRUE(sink(handle));  // an error, in CAF 0.17's way of saying it
}

}  // namespace

}  // namespace troupe::actors
