// A rank and the sign of life that it waits for, on real threads and clocks.
#include "actors/control/lifeline.hpp"
#include "actors/protocol/type_ids.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <future>

namespace troupe::actors {

using namespace std::chrono_literals;

struct plain_config : caf::actor_system_config {
  plain_config() { add_message_types<caf::id_block::troupe>(); }
};

class Lifeline : public ::testing::Test {
protected:
  bool ends_within(const caf::actor& one, std::chrono::milliseconds time) {
    caf::scoped_actor self(system_);
    self->monitor(one);
    bool ended = false;
    self->receive([&](const caf::down_msg&) { ended = true; }, caf::after(time) >> [] {});
    return ended;
  }
  static void end(const caf::actor& one) { caf::anon_send_exit(one, caf::exit_reason::kill); }

  plain_config config_;
  caf::actor_system system_{config_};
};

TEST_F(Lifeline, HoldsAsLongAsTheHeartBeats) {
  const caf::actor heart = spawn_heart(system_);
  const caf::actor line = spawn_lifeline(system_, heart, 200ms);
  EXPECT_FALSE(ends_within(line, 1s));
  end(heart);
  EXPECT_TRUE(ends_within(line, 5s));
}

TEST_F(Lifeline, EndsWhereNothingIsAnswered) {
  const caf::actor silent = system_.spawn(
      [](caf::event_based_actor* self) { return caf::behavior{[self](beat_atom) { self->make_response_promise(); }}; });
  EXPECT_TRUE(ends_within(spawn_lifeline(system_, silent, 300ms), 10s));
  end(silent);
}

}  // namespace troupe::actors
