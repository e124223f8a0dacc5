/// Metrics: one record for each update or iteration into metrics.jsonl and TensorBoard, and progress on the terminal.
/// It lives in the supervisor's process and goes on from attempt to attempt.
#pragma once

#include "actors/protocol/file_patience.hpp"
#include "actors/protocol/type_ids.hpp"
#include "io/run/metrics.hpp"
#include "io/run/run_directory.hpp"
#include "io/run/tensorboard.hpp"

#include <caf/all.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace troupe::actors {

using metrics_actor = caf::typed_actor<
    // Writes a record. Answered, so that a full disk reaches the director.
    caf::replies_to<record_atom, metrics_record>::with<bool>,
    // Resuming: drops what a phase recorded beyond `counter` (negative: all of it), and all of the later phases.
    caf::replies_to<cut_atom, std::string, int64_t, std::vector<std::string>>::with<bool>,
    // How far a phase is.
    caf::reacts_to<progress_atom, progress_note>>;

struct metrics_settings {
  io::run_directory run;
  bool terminal = false;  ///< stderr is one: a line that is rewritten; else whole lines
  int64_t log_every = 1;
};

class metrics_state {
public:
  static inline const char* name = "metrics";

  void open(metrics_settings settings);
  bool record(const metrics_record& record);
  bool cut(const std::string& phase, int64_t counter, const std::vector<std::string>& later);
  void show(const progress_note& note);

private:
  using clock = std::chrono::steady_clock;

  std::string rate_and_time_left(const progress_note& note);

  std::optional<metrics_settings> settings_;
  std::optional<io::metrics_writer> lines_;
  std::optional<io::tensorboard_writer> board_;
  file_patience files_;

  std::string phase_;        ///< of the last note
  uint64_t first_done_ = 0;  ///< when this process began to watch the phase
  clock::time_point first_seen_, last_shown_;
};

metrics_actor::behavior_type metrics(metrics_actor::stateful_pointer<metrics_state> self, metrics_settings settings);

}  // namespace troupe::actors
