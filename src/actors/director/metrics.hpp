/// Metrics: one record for each update or iteration into metrics.jsonl and TensorBoard, and progress on the terminal.
/// It lives in the supervisor's process and goes on from attempt to attempt.
#pragma once

#include "actors/protocol/file_patience.hpp"
#include "actors/protocol/interfaces.hpp"
#include "base/console.hpp"
#include "io/run/metrics.hpp"
#include "io/run/run_directory.hpp"
#include "io/run/tensorboard.hpp"

#include <caf/all.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace troupe::actors {

struct metrics_settings {
  io::run_directory run;
  console_ptr words;      ///< progress goes there: on a terminal a line that is rewritten, else whole lines
  int64_t log_every = 1;  ///< updates or iterations for each whole line
};

class metrics_state {
public:
  static inline const char* name = "metrics";

  void open(metrics_settings settings);
  bool record(const metrics_record& record);
  bool drop(const std::vector<stale_records>& stale);
  void show(const progress_note& note);

private:
  using clock = std::chrono::steady_clock;

  std::string rate_and_time_left(const progress_note& note);

  std::optional<metrics_settings> settings_;
  std::optional<io::metrics_writer> lines_;
  std::optional<io::tensorboard_writer> board_;
  file_patience files_;

  std::optional<io::phase> phase_;  ///< of the last note
  uint64_t first_done_ = 0;         ///< when this process began to watch the phase
  clock::time_point first_seen_, last_shown_;
};

metrics_actor::behavior_type metrics(metrics_actor::stateful_pointer<metrics_state> self, metrics_settings settings);

}  // namespace troupe::actors
