#include "actors/director/metrics.hpp"

#include "actors/protocol/error_replies.hpp"
#include "base/durations.hpp"

#include <fmt/format.h>

#include <cstdio>

namespace troupe::actors {

void metrics_state::open(metrics_settings settings) {
  settings_.emplace(std::move(settings));
  lines_.emplace(settings_->run.metrics());
  board_.emplace(settings_->run.tensorboard());
}

static std::string rollouts_as_markdown(const std::vector<rollout_text>& rollouts) {
  std::string text;
  for (const rollout_text& one : rollouts) {
    text += fmt::format("**reward {:.3f}**\n\n{}**{}**\n\n---\n\n", one.reward, one.prompt, one.answer);
  }
  return text;
}

bool metrics_state::record(const metrics_record& record) {
  // Of a supervisor that was cut off for so long that the file system took its lock back: the run is another's now.
  settings_->run.require_attempt(static_cast<int64_t>(record.attempt));
  io::metrics_record line{
      .phase = record.phase,
      .update = static_cast<int64_t>(record.update),
      .iteration = record.counts_iterations ? static_cast<int64_t>(record.iteration) : -1,
      .attempt = static_cast<int64_t>(record.attempt),
      .time = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(),
      .values = {record.values.begin(), record.values.end()},
      .texts = {}};
  for (size_t i = 0; i < record.rollouts.size(); ++i) {
    line.texts.emplace_back(fmt::format("rollout/{}/prompt", i), record.rollouts[i].prompt);
    line.texts.emplace_back(fmt::format("rollout/{}/answer", i), record.rollouts[i].answer);
  }
  lines_->append(line, record.durable);
  board_->add_scalars(line.phase, line.counter(), line.time, line.values);
  if (!record.rollouts.empty()) {
    board_->add_text(line.phase, line.counter(), line.time, "rollouts", rollouts_as_markdown(record.rollouts));
  }
  return true;
}

bool metrics_state::truncate_after(const std::string& phase, int64_t counter, const std::vector<std::string>& later) {
  lines_->truncate_after(phase, counter, later);
  board_->truncate_after(phase, counter, later);
  return true;
}

std::string metrics_state::rate_and_time_left(const progress_note& note) {
  if (note.phase != phase_ || note.done < first_done_) {
    phase_ = note.phase;
    first_done_ = note.done;
    first_seen_ = clock::now();
  }
  const double elapsed = std::chrono::duration<double>(clock::now() - first_seen_).count();
  const auto done = static_cast<double>(note.done - first_done_);
  if (done <= 0 || elapsed <= 0) {
    return "";
  }
  const double each = elapsed / done;
  const std::string rate =
      each < 1 ? fmt::format("{:.1f} {}/s", 1 / each, note.unit) : fmt::format("{:.1f} s each", each);
  const auto left = static_cast<double>(note.total - note.done);
  return fmt::format(", {}, {} left", rate, duration_text(left * each));
}

void metrics_state::show(const progress_note& note) {
  const std::string pace = rate_and_time_left(note);
  const bool whole = note.part.empty();
  if (settings_->terminal) {
    const auto now = clock::now();
    if (now - last_shown_ < std::chrono::milliseconds(100) && note.done != note.total) {
      return;
    }
    last_shown_ = now;
    std::fprintf(stderr, "\r\033[K%s %lu/%lu%s%s%s  %s%s", note.phase.c_str(), static_cast<unsigned long>(note.done),
                 static_cast<unsigned long>(note.total), pace.c_str(), whole ? "" : ": ", note.part.c_str(),
                 note.summary.c_str(), whole && note.done == note.total ? "\n" : "");
    return;
  }
  const bool due = note.done % static_cast<uint64_t>(settings_->log_every) == 0 || note.done == note.total;
  if (whole && due) {
    std::fprintf(stderr, "%s %lu/%lu %s%s  %s\n", note.phase.c_str(), static_cast<unsigned long>(note.done),
                 static_cast<unsigned long>(note.total), note.unit.c_str(), pace.c_str(), note.summary.c_str());
  }
}

metrics_actor::behavior_type metrics(metrics_actor::stateful_pointer<metrics_state> self, metrics_settings settings) {
  self->state.open(std::move(settings));
  return {
      replying_errors([self](record_atom, const metrics_record& record) { return self->state.record(record); }),
      replying_errors(
          [self](truncate_atom, const std::string& phase, int64_t counter, const std::vector<std::string>& later) {
            return self->state.truncate_after(phase, counter, later);
          }),
      [self](progress_atom, const progress_note& note) { self->state.show(note); },
  };
}

}  // namespace troupe::actors
