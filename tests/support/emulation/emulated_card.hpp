/// A card whose memory is the host's and whose kernels run by emulation (grid.hpp), so that all that computes on a card
/// is tested without one. Work is done when it is called, or, if so asked, when somebody waits for it.
///
/// What it finds, besides what the emulation of kernels finds: memory of the card that the host reads or writes
/// (its pages are open to kernels and copies alone: a segmentation fault), use of pages that are not mapped (the same),
/// and what is read before it is written (pages come, and the scratch of each operation begins, full of NaN). Where
/// work is late: host memory that is read before the wait for it, or written before it was copied, and queues that do
/// not wait for each other.
#pragma once

#include "base/device.hpp"
#include "support/emulation/fake_wire.hpp"
#include "support/emulation/grid.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace troupe::emulation {

/// What a test may count.
enum class card_call : uint8_t { finish, record_calls, replay, pin };

struct card_options {
  int64_t bytes = int64_t{1} << 30;         ///< that can be mapped at a time
  int64_t page_bytes = int64_t{64} << 10;   ///< a multiple of the host's pages
  settings threads;                         ///< the order in which kernels' threads run, and the matrix units
  bool late = false;                        ///< work waits until it is waited for
  bool early_compute = false;               ///< where work is late: all but that of the compute queue
  bool early_copies = false;                ///< the same of the upload and download queues
  std::vector<card_call>* calls = nullptr;  ///< such calls are noted there, in their order
  std::shared_ptr<wire_network> network;    ///< of the cards that it has wires to; null: it has none
  const bool* failed = nullptr;             ///< once it is true, whatever is asked of the card fails, but `free`
  const bool* hangs = nullptr;              ///< once it is true, who waits for the card waits in vain
  std::string name = "emulated card";       ///< what errors call it
  /// Whether its pages are closed to the host between calls. That takes longer than most calls do, so that whole runs
  /// leave it away.
  bool closed = true;
  int64_t most_pinned = int64_t{1} << 40;  ///< bytes of the host that can be pinned as one
};

/// What several host threads ask of it is done one after the other.
std::unique_ptr<device> make_card(const card_options& options = {});

}  // namespace troupe::emulation
