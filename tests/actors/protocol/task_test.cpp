// Plans as coroutines, errors across actors, and handles that must not leave the process: with CAF's deterministic
// scheduler, no threads and no sleeps.
#include "actors/protocol/error_replies.hpp"
#include "actors/protocol/rank_data.hpp"
#include "actors/protocol/task.hpp"
#include "actors/protocol/type_ids.hpp"
#include "support/stepped_actors.hpp"

#include <caf/all.hpp>
#include <gtest/gtest.h>
#include <malloc.h>

#include <chrono>
#include <future>

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

/// Asks again and again, alone and everyone, as a director does through a long phase.
struct persistent_asker {
  task<> run(doubling_actor of, int64_t times) {
    const std::vector<doubling_actor> both = {of, of};
    for (int64_t i = 0; i < times; ++i) {
      co_await ask<int64_t>(self, of, score_atom_v, i);
      co_await ask_everyone<int64_t>(self, both, score_atom_v, i);
    }
    done = true;
  }
  caf::event_based_actor* self = nullptr;
  task<> plan;
  bool done = false;
};

/// Bytes that this process holds after so many requests of each kind, in a system with threads and a clock of its own.
static size_t memory_after(int64_t times) {
  caf::actor_system_config config;
  config.add_message_types<caf::id_block::troupe>();
  config.set("scheduler.max-threads", 1);
  caf::actor_system system(config);
  const auto of = system.spawn(doubling);
  std::promise<size_t> held;
  const auto asker = system.spawn([&](caf::stateful_actor<persistent_asker>* self) {
    self->state.self = self;
    self->state.plan = self->state.run(of, times);
    self->state.plan.start();
    self->delayed_send(self, std::chrono::milliseconds(10), tick_atom_v);
    return caf::behavior{[self, &held](tick_atom) {
      if (self->state.done) {
        held.set_value(::mallinfo2().uordblks);
        self->quit();
      } else {
        self->delayed_send(self, std::chrono::milliseconds(10), tick_atom_v);
      }
    }};
  });
  const size_t bytes = held.get_future().get();
  caf::anon_send_exit(of, caf::exit_reason::kill);
  return bytes;
}

TEST(Asking, ManyRequestsHoldNoMemory) {
  constexpr int64_t few = 1'000, many = 40'000;  // three requests each
  memory_after(few);                             // what CAF keeps once for all
  const size_t before = memory_after(few);
  const size_t after = memory_after(many);
  const double per_request =
      (static_cast<double>(after) - static_cast<double>(before)) / static_cast<double>(3 * (many - few));
  EXPECT_LT(per_request, 1) << before << " bytes, then " << after;
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
