#include "actors/control/lifeline.hpp"

#include "actors/protocol/type_ids.hpp"
#include "base/awake_clock.hpp"

#include <algorithm>

namespace troupe::actors {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds longest_between_questions = 1s;

namespace {

struct lifeline_state {
  awake_clock awake{1s};
  awake_clock::clock::time_point last_sign = awake.now();
};

caf::behavior ask_again_and_again(caf::stateful_actor<lifeline_state>* self, const caf::actor& heart,
                                  std::chrono::milliseconds silence) {
  const auto pause = std::min(silence / 10, longest_between_questions / 2);
  self->send(self, tick_atom_v);
  return {[=](tick_atom) {
    lifeline_state& state = self->state;
    if (state.awake.now() - state.last_sign > silence) {
      self->quit();
      return;
    }
    self->request(heart, caf::infinite, beat_atom_v)
        .then([self](beat_atom) { self->state.last_sign = self->state.awake.now(); }, [](const caf::error&) {});
    self->delayed_send(self, pause, tick_atom_v);
  }};
}

}  // namespace

caf::actor spawn_heart(caf::actor_system& system) {
  return system.spawn([](caf::event_based_actor*) { return caf::behavior{[](beat_atom) { return beat_atom_v; }}; });
}

caf::actor spawn_lifeline(caf::actor_system& system, const caf::actor& heart, std::chrono::milliseconds silence) {
  return system.spawn<caf::detached>(ask_again_and_again, heart, silence);
}

}  // namespace troupe::actors
