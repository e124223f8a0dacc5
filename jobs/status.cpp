// troupe status RUN [--json]: how a run stands.
#include "base/durations.hpp"
#include "io/run/run_status.hpp"
#include "jobs/arguments.hpp"
#include "jobs/commands.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <string>

namespace troupe {

namespace po = boost::program_options;

namespace {

using json = nlohmann::ordered_json;

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

std::string rate_text(double per_second, const std::string& unit) {
  return per_second >= 0.5        ? fmt::format("{:.3g} {}s per second", per_second, unit)
         : per_second * 60 >= 0.5 ? fmt::format("{:.3g} {}s per minute", per_second * 60, unit)
                                  : fmt::format("{:.3g} {}s per hour", per_second * 3600, unit);
}

std::string time_text(double time) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", fmt::localtime(static_cast<std::time_t>(time)));
}

std::string progress_text(const io::run_status& s) {
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
  if (s.seconds_left) {
    text += fmt::format(", about {} left in the phase", duration_text(*s.seconds_left));
  }
  return text;
}

void print_failure(const io::run_failure& one) {
  fmt::print("  {}  attempt {}  {}", time_text(one.time), one.attempt, one.kind);
  fmt::print(
      "{}{}{}", one.rank >= 0 ? fmt::format(", rank {}", one.rank) : "", one.host.empty() ? "" : " on " + one.host,
      one.operation.empty() ? ""
                            : fmt::format(", {}in \"{}\"", one.actor.empty() ? "" : one.actor + " ", one.operation));
  fmt::print("{}{}\n", one.reason.empty() ? "" : ": " + one.reason,
             one.recovered_s >= 0 ? fmt::format("; recovered after {:.1f} s", one.recovered_s) : "");
}

void print(const io::run_status& s) {
  const auto line = [](const char* name, const std::string& text) { fmt::print("{:<13}{}\n", name, text); };
  line("run", s.root.string());
  line("state", std::string(io::to_string(s.state)) + (s.holder.empty() ? "" : ", supervisor " + s.holder) +
                    (s.reason.empty() ? "" : ": " + s.reason));
  line("phase", progress_text(s));
  if (s.last_record) {
    line("last record", duration_text(now() - *s.last_record) + " ago");
  }
  if (s.attempt > 0) {
    line("attempt",
         fmt::format("{}, {} rank{}{}{}", s.attempt, s.ranks, s.ranks == 1 ? "" : "s",
                     s.launcher.empty() ? "" : " by " + s.launcher, s.hosts.empty() ? "" : " on " + s.hosts));
  }
  line("checkpoint", s.checkpoint
                         ? fmt::format("{}, {} ago", s.checkpoint->folder, duration_text(now() - s.checkpoint->time))
                         : "none");
  if (s.best) {
    line("best", fmt::format("{}, {} = {:.6g}", s.best->folder, s.best->metric, s.best->value));
  }
  line("failures", fmt::format("{}, {} recovered", s.failures, s.recoveries));
  for (const io::run_failure& one : s.last_failures) {
    print_failure(one);
  }
}

template <class T> json or_null(const std::optional<T>& value) { return value ? json(*value) : json(); }

json failure_json(const io::run_failure& one) {
  json out = {{"time", one.time}, {"attempt", one.attempt}, {"event", one.kind}};
  if (one.rank >= 0) {
    out["rank"] = one.rank;
  }
  const std::pair<const char*, const std::string*> texts[] = {
      {"host", &one.host}, {"actor", &one.actor}, {"operation", &one.operation}, {"reason", &one.reason}};
  for (const auto& [name, text] : texts) {
    if (!text->empty()) {
      out[name] = *text;
    }
  }
  if (one.recovered_s >= 0) {
    out["recovered_s"] = one.recovered_s;
  }
  return out;
}

json to_json(const io::run_status& s) {
  json out = {{"run", s.root.string()},
              {"state", io::to_string(s.state)},
              {"reason", s.reason},
              {"supervisor", s.holder},
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
  if (s.checkpoint) {
    out["checkpoint"] = {{"path", s.checkpoint->folder},
                         {"phase", s.checkpoint->phase},
                         {s.checkpoint->unit, s.checkpoint->counter},
                         {"time", s.checkpoint->time},
                         {"age_s", now() - s.checkpoint->time}};
  }
  if (s.best) {
    out["best"] = {{"path", s.best->folder}, {"metric", s.best->metric}, {"value", s.best->value}};
  }
  for (const io::run_failure& one : s.last_failures) {
    out["last_failures"].push_back(failure_json(one));
  }
  return out;
}

}  // namespace

int status_command(int argc, char** argv) {
  po::options_description options("Options");
  options.add_options()("json", "one JSON object on one line");
  po::variables_map values;
  if (!parse_arguments(
          argc, argv,
          "troupe status RUN [options]\n\n"
          "How a run stands: phase, progress, rate and time left, ranks, last checkpoint, failures. RUN is\n"
          "its directory (run.dir), which may be in use: nothing is written.\n",
          options, {"RUN"}, values)) {
    return exit_ok;
  }
  const io::run_status status = io::read_run_status(required_argument(values, "RUN"));
  if (values.contains("json")) {
    // Texts in the ledger may quote bytes that are not UTF-8.
    fmt::print("{}\n", to_json(status).dump(-1, ' ', false, json::error_handler_t::replace));
  } else {
    print(status);
  }
  return exit_ok;
}

}  // namespace troupe
