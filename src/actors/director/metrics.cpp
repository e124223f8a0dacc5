#include "actors/director/metrics.hpp"

#include "actors/protocol/error_replies.hpp"
#include "base/durations.hpp"
#include "io/run/markdown.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <ctime>
#include <span>

namespace troupe::actors {

void metrics_state::open(metrics_settings settings) {
  settings_.emplace(std::move(settings));
  lines_.emplace(settings_->run.metrics());
  board_.emplace(settings_->run.tensorboard());
}

static std::string rollouts_as_markdown(const std::vector<rollout_text>& rollouts) {
  std::string text = "| reward | prompt | answer |\n|---|---|---|\n";
  for (const rollout_text& one : rollouts) {
    const std::string reward = std::isnan(one.reward) ? "none" : fmt::format("{:.3f}", one.reward);
    text += fmt::format("| {} | {} | {} |\n", reward, io::markdown_text(one.prompt), io::markdown_text(one.answer));
  }
  return text;
}

bool metrics_state::record(const metrics_record& record) {
  // Of a supervisor that was cut off for so long that the file system took its lock back: the run is another's now.
  settings_->run.require_attempt(static_cast<int64_t>(record.attempt));
  io::metrics_record line{
      .phase = std::string(io::to_string(record.phase)),
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
  line.texts.insert(line.texts.end(), record.origin.begin(), record.origin.end());
  files_.persist([&] { lines_->append(line, record.durable); });
  files_.persist([&] { board_->add_scalars(line.phase, line.counter(), line.time, line.values); });
  if (!record.rollouts.empty()) {
    files_.persist([&] {
      board_->add_text(line.phase, line.counter(), line.time, "rollouts", rollouts_as_markdown(record.rollouts));
    });
  }
  return true;
}

bool metrics_state::drop(const std::vector<stale_records>& stale) {
  const stale_records& own = stale.front();
  std::vector<std::string> later;
  for (const stale_records& other : std::span(stale).subspan(1)) {
    later.emplace_back(io::to_string(other.phase));
  }
  const std::string phase(io::to_string(own.phase));
  files_.persist([&] { lines_->truncate_after(phase, own.beyond, later); });
  files_.persist([&] { board_->truncate_after(phase, own.beyond, later); });
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
  const bool whole = note.doing.empty();
  const std::string so_far = fmt::format("{} {}/{}", io::to_string(note.phase), note.done, note.total);
  const bool last = note.done == note.total;
  if (whole && (last || note.done % static_cast<uint64_t>(settings_->log_every) == 0)) {
    const std::string line = fmt::format("{} {}{}  {}", so_far, note.unit, pace, note.summary);
    const std::string logged = fmt::format("{:%H:%M:%S} {}", fmt::localtime(std::time(nullptr)), line);
    if (!settings_->words->terminal() || last) {
      settings_->words->show("");
      settings_->words->say(weight::detail, line, logged);
    } else {
      settings_->words->note(logged);
    }
  }
  const auto now = clock::now();
  if (whole && last) {
    return;
  }
  if (last || now - last_shown_ >= std::chrono::milliseconds(100)) {
    last_shown_ = now;
    settings_->words->show(fmt::format("{}{}{}{}  {}", so_far, pace, whole ? "" : ": ", note.doing, note.summary));
  }
}

metrics_actor::behavior_type metrics(metrics_actor::stateful_pointer<metrics_state> self, metrics_settings settings) {
  die_telling_why(self);
  self->state.open(std::move(settings));
  return {
      replying_errors([self](record_atom, const metrics_record& record) { return self->state.record(record); }),
      replying_errors(
          [self](truncate_atom, const std::vector<stale_records>& stale) { return self->state.drop(stale); }),
      [self](progress_atom, const progress_note& note) { self->state.show(note); },
  };
}

}  // namespace troupe::actors
