/// The director's side of checkpoints: it finds the one to go on from, says when the next is due, has all ranks copy
/// what it is to hold while training stands still, and commits it once every rank's file is durable.
#pragma once

#include "actors/director/best.hpp"
#include "actors/director/context.hpp"
#include "actors/protocol/task.hpp"
#include "base/error.hpp"

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe::actors {

/// For a search: before no counter in particular.
inline constexpr uint64_t any_counter = std::numeric_limits<int64_t>::max();

/// The checkpoint to go on from, and those that were passed over.
struct checkpoint_search {
  located_checkpoint found;           ///< the newest that is whole
  std::vector<std::string> problems;  ///< of damaged ones, the newest first
  double seconds = 0;
};

/// Serves all phases of an attempt, one after the other.
class checkpointing {
public:
  explicit checkpointing(director_context& on) : on_(on) {}

  /// Goes on from the newest checkpoint of the phase, or from its start. `total`: the counter that the phase will end
  /// with. `by`: how its evaluations are compared.
  task<> begin_phase(uint64_t total, evaluation_measure by);

  /// The same of a phase without evaluations. `origin`: the folder of another run's checkpoint, which takes the start's
  /// place; empty: none does.
  task<> begin_replay(uint64_t total, std::string origin);

  /// The newest whole checkpoint before a counter. Every rank reads its share of a candidate's files, and the director
  /// decides by what all have found.
  /// Errors  bad_file: there are checkpoints, but all of them are damaged.
  task<checkpoint_search> find(uint64_t before = any_counter);
  task<> restore(checkpoint_search search);

  /// Ends an update or iteration: its record, and, where one is due, a checkpoint, whose times the record has.
  /// Errors  io_failure: this record, or an earlier checkpoint, could not be written.
  task<> close(metrics_record line, bool last);

  /// Ends the phase, or, where a stop came before its end, leaves a checkpoint that it can go on from.
  task<> end_phase();

  /// Awaits that every checkpoint which has been begun is committed.
  /// Errors  those of writing one.
  task<> await_durable();

  /// After a failure: the checkpoint that is still being written is kept. Does not throw.
  task<> rescue_last();

  /// The state in the last checkpoint that was begun, or that the phase went on from.
  const phase_state& last() const { return last_; }

private:
  /// Another run's checkpoint, verified by all ranks.
  /// Errors  bad_file: it is damaged; those of io::read_manifest.
  task<checkpoint_search> look_at(std::string folder);
  void require_one_sound(const checkpoint_search& search) const;
  /// How long training stood still for a checkpoint, in s.
  struct pause {
    double copy_s = 0;  ///< the copy, on the slowest rank
    double all_s = 0;   ///< and until the checkpoint before it was written, where that was still going on
    double waited_s() const { return all_s - copy_s; }
  };

  /// A checkpoint whose files are being written.
  struct unfinished {
    commit_command command;
    size_t missing = 0;  ///< files
    io::phase phase = io::phase::sft;
    double copy_s = 0;
    checkpointer_actor committer;
  };

  bool due(bool last) const;
  task<pause> copy();
  void commit_when_written(pause stood);
  void commit(std::shared_ptr<const unfinished> written);
  void note_success(const unfinished& written, const durable_report& durable);
  void note_failure(const unfinished& begun, const caf::error& reason);
  bool note_best(const statistics& evaluated);
  best_so_far best() const;
  task<> save_models();
  /// Work that no checkpoint would keep is not begun.
  /// Errors  the failure to write an earlier checkpoint.
  void require_written() const;

  director_context& on_;
  uint64_t total_ = 0;
  evaluation_measure measure_;
  phase_state last_;
  std::optional<error> failure_;  ///< of writing one
};

}  // namespace troupe::actors
