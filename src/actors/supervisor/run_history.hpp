/// What happens to a run, as the supervisor writes it down, and what it knows of earlier: the ledger and the phases
/// that are finished.
///
/// Owns the ledger's file; each event is durable when a call returns, which bears with a disk that is full for a
/// moment. No thread, no actor.
#pragma once

#include "actors/protocol/file_patience.hpp"
#include "actors/protocol/messages.hpp"
#include "io/run/ledger.hpp"
#include "io/run/phases_begun.hpp"
#include "io/run/run_directory.hpp"

#include <cstdint>
#include <set>

namespace troupe::actors {

class run_history {
public:
  /// Errors  io_failure; bad_file: the ledger is damaged (says where).
  explicit run_history(const io::run_directory& run);

  /// Events from now on belong to this attempt.
  void begin_attempt(uint64_t attempt) { attempt_ = attempt; }
  uint64_t attempt() const { return attempt_; }  ///< 0: none yet

  /// Errors  io_failure, of both.
  void append(io::ledger_kind kind, io::ledger_fields fields = {});

  /// Something that the director tells. Returns its kind: what is not the director's to say becomes a note.
  io::ledger_kind note(const ledger_note& told);

  std::set<io::phase> finished_phases() const { return phases_.finished(); }

  /// Supervisors in a row, this one included, that have stopped, or will have, without a new checkpoint or a phase's
  /// end. 0: this one has got on.
  int64_t fruitless_stops() const { return got_on_ ? 0 : stops_ + 1; }

private:
  void write(const io::ledger_event& event);
  void add_to_count(io::ledger_kind kind);

  io::ledger_writer ledger_;
  file_patience files_;
  io::phases_begun phases_;
  int64_t stops_ = 0;                      ///< fruitless ones of earlier supervisors, in a row
  bool stopped_ = false, got_on_ = false;  ///< since the last one started
  uint64_t attempt_ = 0;
};

}  // namespace troupe::actors
