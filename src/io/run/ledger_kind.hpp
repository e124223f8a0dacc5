/// The events of ledger.jsonl, and the name of each in the file.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace troupe::io {

/// What happens to a run, and the fields that tell of it.
enum class ledger_kind : uint8_t {
  run_started,         ///< supervisor up: pid
  attempt_started,     ///< ranks
  worker_failed,       ///< rank, host, actor, operation, exit, reason
  worker_hung,         ///< rank, host, actor, operation, seconds, reason
  host_suspected,      ///< host, reason (ends with for how long it is left out); crashes: in a row
  card_suspected,      ///< host, card, failures: of it so far, reason (ends with whether it is left out)
  recovered,           ///< a phase has begun or resumed after a failure: seconds since
  checkpoint,          ///< folder, bytes, seconds
  checkpoint_damaged,  ///< folder, reason: passed over
  checkpoint_failed,   ///< folder, reason: could not be written
  phase_started,       ///< total: updates or iterations that the phase will have
  phase_resumed,       ///< all ranks have loaded what it goes on from; text
  phase_finished,
  phase_reopened,    ///< a finished phase that the job has made longer
  forked,            ///< a run begun from another's checkpoint: from, checkpoint
  attempt_finished,  ///< clean end of the ranks
  stopped,           ///< on request; signal
  run_finished,
  run_failed,  ///< reason
  note,        ///< text
};
/// Its name in the file.
const char* to_string(ledger_kind kind);

/// The event of that name; none: there is no such event.
std::optional<ledger_kind> ledger_kind_of(std::string_view name);

}  // namespace troupe::io
