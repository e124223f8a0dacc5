/// Exchange of arrays that lie on cards, from card to card: by wires (base/device.hpp), of which the CUDA module's are
/// NCCL's. Internal: between_cards.hpp chooses it.
///
/// Queues   A call follows what the compute queue was given so far, and what follows `wait` there follows the
///          operation: the host waits for neither. So arrays belong to an operation until the compute queue is past
///          it; who uses another queue for them, or the host, waits for the compute queue as ever.
/// Order    Work goes by the one wire queue of a card in the order of calls, whatever communicators they are of: all
///          ranks make their calls in the same order over all communicators of their cards.
/// Sums     are joined by the tree of kernels/join.hpp from the ranks' pieces, which come into memory of the card:
///          (R - 1) parts for each reduce_scatter under way. It is kept for the next.
/// Messages of one rank to another match those that it receives by tag where both ranks have called them since they
///          last waited for one, or called something else.
/// Failure  An operation for which this rank is ready, and which does not end within its deadline once `wait` was
///          called, ends the process by its name (wire_watch.hpp); so does a wire that tells of an error.
/// Time     `traffic::waited_s` has what the host waited, which is little; `under_way_s` ends when the work does.
#pragma once

#include "engine/parallel/card_wires.hpp"
#include "engine/parallel/checked.hpp"

#include <memory>

namespace troupe::engine {

/// The ranks of `by`, which exchanges host memory and counts these operations as its own (it may be used beside this
/// one), by this rank's end of their wire. `over` outlives it.
communicator_ptr device_ranks(const checked_communicator& by, std::shared_ptr<wire> through, card_wires& over);

}  // namespace troupe::engine
