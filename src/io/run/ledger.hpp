/// ledger.jsonl: what happened to a run, one JSON object per line, append-only.
#pragma once

#include "base/keys.hpp"
#include "io/files/line_file.hpp"
#include "io/run/run_directory.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace troupe::io {

/// What happens to a run. The names are those of the file.
enum class ledger_kind {
  run_started,         ///< supervisor up: pid
  attempt_started,     ///< ranks
  worker_failed,       ///< rank, host, actor, operation, exit, reason
  worker_hung,         ///< rank, host, actor, operation, seconds, reason
  host_suspected,      ///< host, reason (ends with for how long it is left out); crashes: in a row
  recovered,           ///< a phase has begun or resumed after a failure: seconds since
  checkpoint,          ///< folder, bytes, seconds
  checkpoint_damaged,  ///< folder, reason: passed over
  checkpoint_failed,   ///< folder, reason: could not be written
  phase_started,       ///< total: updates or iterations that the phase will have
  phase_resumed,       ///< all ranks have loaded what it goes on from; text
  phase_finished,
  attempt_finished,  ///< clean end of the ranks
  stopped,           ///< on request; signal
  run_finished,
  run_failed,  ///< reason
  note,        ///< text
};
const char* to_string(ledger_kind kind);

/// "reason", "signal", ..., in the order to be written.
using ledger_fields = std::vector<std::pair<std::string, key_value>>;

struct ledger_event {
  ledger_kind kind = ledger_kind::note;
  double time = 0;  ///< Unix time in seconds; 0: set by append
  int64_t attempt = 0;
  std::string phase;     ///< empty: left out
  int64_t counter = -1;  ///< update or iteration, as the phase counts; negative: left out
  ledger_fields fields;
};

/// Appends events, each durable when append returns. A partial last line, left by a crash, is cut
/// on opening.
/// Errors  io_failure.
class ledger_writer {
public:
  explicit ledger_writer(const run_directory& run);
  void append(ledger_event event);

private:
  line_file file_;
};

/// All complete lines; none where there is no ledger yet.
/// Errors  io_failure, bad_file with the line's number.
std::vector<ledger_event> read_ledger(const std::filesystem::path& path);

}  // namespace troupe::io
