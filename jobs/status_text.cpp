#include "jobs/status_text.hpp"

#include "base/durations.hpp"
#include "io/json/jsonl_filter.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <optional>

namespace troupe {

namespace {

using json = io::json_line;

std::string rate_text(double per_second, const std::string& unit) {
  return per_second >= 0.5        ? fmt::format("{:.3g} {}s per second", per_second, unit)
         : per_second * 60 >= 0.5 ? fmt::format("{:.3g} {}s per minute", per_second * 60, unit)
                                  : fmt::format("{:.3g} {}s per hour", per_second * 3600, unit);
}

std::string time_text(double time) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", fmt::localtime(static_cast<std::time_t>(time)));
}

/// Whether records should have come since the last one, by far: then nobody knows how much time is left.
bool is_late(const io::run_status& s, double now) {
  constexpr double patience_s = 60, records = 10;
  return s.last_record && s.per_second && now - *s.last_record > patience_s + records / *s.per_second;
}

std::string progress_text(const io::run_status& s, double now) {
  if (s.phase.empty()) {
    return "none has begun";
  }
  const auto place = std::find(s.phases.begin(), s.phases.end(), s.phase);
  std::string text = s.phase;
  if (place != s.phases.end()) {
    text += fmt::format(" ({} of {})", place - s.phases.begin() + 1, s.phases.size());
  }
  if (!s.last_record) {
    return text + ", nothing recorded yet";
  }
  text += fmt::format(", {} {}", s.unit, s.counter) + (s.total ? fmt::format(" of {}", *s.total) : "");
  if (s.per_second) {
    text += ", " + rate_text(*s.per_second, s.unit);
  }
  if (is_late(s, now)) {
    text += fmt::format(" at its last records{}",
                        s.state == io::run_state::running ? ", of which none has come since" : "");
  } else if (s.seconds_left) {
    text += fmt::format(", about {} left in the phase", duration_text(*s.seconds_left));
  }
  return text;
}

std::string failure_text(const io::run_failure& failure) {
  std::string text = fmt::format("  {}  attempt {}  {}", time_text(failure.time), failure.attempt, failure.kind);
  if (failure.rank >= 0) {
    text += fmt::format(", rank {}", failure.rank);
  }
  if (!failure.host.empty()) {
    text += " on " + failure.host;
  }
  if (failure.card >= 0) {
    text += fmt::format(", card {}", failure.card);
  }
  if (!failure.operation.empty()) {
    text += fmt::format(", {}in \"{}\"", failure.actor.empty() ? "" : failure.actor + " ", failure.operation);
  }
  if (!failure.reason.empty()) {
    text += ": " + failure.reason;
  }
  if (failure.recovered_s >= 0) {
    text += fmt::format("; recovered after {:.1f} s", failure.recovered_s);
  }
  return text + "\n";
}

template <class T> json or_null(const std::optional<T>& value) { return value ? json(*value) : json(); }

json failure_json(const io::run_failure& failure) {
  json out = {{"time", failure.time}, {"attempt", failure.attempt}, {"event", failure.kind}};
  if (failure.rank >= 0) {
    out["rank"] = failure.rank;
  }
  const std::pair<const char*, const std::string*> texts[] = {{"host", &failure.host},
                                                              {"actor", &failure.actor},
                                                              {"operation", &failure.operation},
                                                              {"reason", &failure.reason}};
  for (const auto& [name, text] : texts) {
    if (!text->empty()) {
      out[name] = *text;
    }
  }
  if (failure.card >= 0) {
    out["card"] = failure.card;
  }
  if (failure.recovered_s >= 0) {
    out["recovered_s"] = failure.recovered_s;
  }
  return out;
}

}  // namespace

std::string status_text(const io::run_status& s, double now, const queued_job& queue) {
  std::string out;
  const auto line = [&](const char* name, const std::string& text) { out += fmt::format("{:<13}{}\n", name, text); };
  line("run", s.root.string());
  line("state", std::string(io::to_string(s.state)) + (s.holder.empty() ? "" : ", supervisor " + s.holder) +
                    (s.reason.empty() ? "" : ": " + s.reason));
  if (!s.slurm_job.empty()) {
    line("slurm job", describe(queue));
  }
  line("phase", progress_text(s, now));
  if (s.last_record) {
    line("last record", duration_text(now - *s.last_record) + " ago");
  }
  if (s.attempt > 0) {
    line("attempt",
         fmt::format("{}, {} rank{}{}{}", s.attempt, s.ranks, s.ranks == 1 ? "" : "s",
                     s.launcher.empty() ? "" : " by " + s.launcher, s.hosts.empty() ? "" : " on " + s.hosts));
  }
  line("checkpoint", s.checkpoint
                         ? fmt::format("{}, {} ago", s.checkpoint->folder, duration_text(now - s.checkpoint->time))
                         : "none");
  if (s.best) {
    line("best", fmt::format("{}, {} = {:.6g}", s.best->folder, s.best->metric, s.best->value));
  }
  for (size_t i = 0; i < s.logs.size(); ++i) {
    line(i == 0 ? "log" : "", s.logs[i].string());
  }
  line("failures", fmt::format("{}, {} recovered", s.failures, s.recoveries));
  for (const io::run_failure& failure : s.last_failures) {
    out += failure_text(failure);
  }
  return out;
}

std::string status_json(const io::run_status& s, double now, const queued_job& queue) {
  json out = {{"run", s.root.string()},
              {"state", io::to_string(s.state)},
              {"reason", s.reason},
              {"supervisor", s.holder},
              {"slurm_job", s.slurm_job.empty() ? json() : json(s.slurm_job)},
              {"queue_state", queue.state.empty() ? json() : json(queue.state)},
              {"logs", json::array()},
              {"phases", s.phases},
              {"finished_phases", s.finished_phases},
              {"phase", s.phase},
              {"unit", s.unit},
              {"counter", s.counter},
              {"total", or_null(s.total)},
              {"per_second", or_null(s.per_second)},
              {"seconds_left", or_null(s.seconds_left)},
              {"last_record", or_null(s.last_record)},
              {"attempt", s.attempt},
              {"ranks", s.ranks},
              {"hosts", s.hosts},
              {"launcher", s.launcher},
              {"checkpoint", nullptr},
              {"best", nullptr},
              {"failures", s.failures},
              {"recoveries", s.recoveries},
              {"last_failures", json::array()}};
  for (const std::filesystem::path& log : s.logs) {
    out["logs"].push_back(log.string());
  }
  if (s.checkpoint) {
    out["checkpoint"] = {{"path", s.checkpoint->folder},
                         {"phase", s.checkpoint->phase},
                         {s.checkpoint->unit, s.checkpoint->counter},
                         {"time", s.checkpoint->time},
                         {"age_s", now - s.checkpoint->time}};
  }
  if (s.best) {
    out["best"] = {{"path", s.best->folder}, {"metric", s.best->metric}, {"value", s.best->value}};
  }
  for (const io::run_failure& failure : s.last_failures) {
    out["last_failures"].push_back(failure_json(failure));
  }
  return io::json_line_text(out) + "\n";
}

}  // namespace troupe
