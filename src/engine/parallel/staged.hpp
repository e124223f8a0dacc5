/// Exchange of arrays that lie on a card, by ranks that exchange host memory: what a rank gives is copied down, what
/// comes is copied up. So ranks with a card each, or two that share one, need nothing that knows of cards.
#pragma once

#include "base/device.hpp"
#include "engine/parallel/communicator.hpp"

namespace troupe::engine {

/// A communicator of the ranks of `by` whose arrays are those of `on`, which outlives it. `by` carries them and counts
/// them, and may be used beside it, for host memory: an operation of the one is one of the other, in the order of the
/// calls. Null, or without a card: `by` itself.
/// Use      A call waits until the compute queue has done what it was given so far, and for the copy of what this rank
///          gives. What comes is there for what the compute queue is given after `wait`.
/// Order    Values are moved as they stand: within a group all ranks have cards, or none (arena/card_arena.hpp).
/// Memory   pinned, as large as the operations under way; it stays for the next.
/// Errors   those of communicator; device_failure.
communicator_ptr staged(communicator_ptr by, device* on);

}  // namespace troupe::engine
