/// How arrays that lie on ranks' cards get from one to another: by wires between the cards, which are NCCL's, or copied
/// through host memory. The one place where that is chosen.
#pragma once

#include "base/device.hpp"
#include "engine/parallel/communicator.hpp"

#include <chrono>
#include <functional>
#include <string>

namespace troupe::engine {

enum class card_exchange : uint8_t {
  automatic,  ///< by wires where all ranks can, else through host memory
  wires,      ///< or an error
  host,       ///< through host memory
};

struct exchange_settings {
  card_exchange wanted = card_exchange::automatic;
  std::chrono::milliseconds deadline{std::chrono::minutes(10)};      ///< of an operation
  std::chrono::milliseconds join_deadline{std::chrono::minutes(1)};  ///< of joining a wire
  /// Told in a line what is done and why, on rank 0 of those that do it alike.
  std::function<void(const std::string&)> tell = {};
};

/// For a process that has a card: how it exchanges with the others from now on. All ranks that will, those of `group`,
/// call it with the same settings, before any of them uses between_cards; `group` exchanges host memory. Wires need a
/// card of its own for each rank, and 256 ranks at most.
/// Errors  unsupported: wires are wanted, and a rank cannot have them: which, and why. The same on all ranks.
///         lost_peer.
void settle_exchange(communicator& group, device& on, const exchange_settings& settings);

/// A communicator of the ranks of `by` whose arrays are those of `on`, which outlives it. `by` exchanges host memory,
/// and may be used beside it: it counts the operations of both. Collective. Null, or without a card: `by` itself.
/// What has not been settled goes through host memory.
/// Use      An operation follows what the compute queue was given before its call. What comes is there for what the
///          compute queue is given after `wait`.
/// Order    Values are moved as they stand: within a group all ranks have cards, or none (arena/card_arena.hpp). Ranks
///          make their calls in the same order over all groups.
/// Memory   pinned and as large as the operations under way, or (wires) of the card, for what arrives to be summed; it
///          stays for the next.
/// Errors   those of communicator; device_failure; unsupported: wires are wanted, and cannot be joined.
communicator_ptr between_cards(communicator_ptr by, device* on);

}  // namespace troupe::engine
