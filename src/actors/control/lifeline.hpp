/// How a rank on another host knows that the supervisor's process still runs. CAF's own heartbeats end in a verdict
/// that knows nothing of a process which stood still itself, as all do when a job is suspended: both sides would take
/// each other for dead.
#pragma once

#include <caf/all.hpp>

#include <chrono>

namespace troupe::actors {

/// In the supervisor's process: answers beat_atom, whatever the supervisor waits for. It has no thread of its own,
/// which the system would wait for at its end as long as a rank knows the actor; control_config sees to it that one is
/// free.
caf::actor spawn_heart(caf::actor_system& system);

/// In a rank's process: an actor that asks the heart again and again, and ends when nothing has come for `silence`, not
/// counting time in which this process stood still.
caf::actor spawn_lifeline(caf::actor_system& system, const caf::actor& heart, std::chrono::milliseconds silence);

}  // namespace troupe::actors
