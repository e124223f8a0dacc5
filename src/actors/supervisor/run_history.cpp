#include "actors/supervisor/run_history.hpp"

#include <utility>

namespace troupe::actors {

/// Whether the director may say it. All else is the supervisor's own.
static bool is_directors(io::ledger_kind kind) {
  switch (kind) {
  case io::ledger_kind::checkpoint:
  case io::ledger_kind::checkpoint_damaged:
  case io::ledger_kind::checkpoint_failed:
  case io::ledger_kind::phase_started:
  case io::ledger_kind::phase_resumed:
  case io::ledger_kind::phase_finished:
  case io::ledger_kind::stopped:
  case io::ledger_kind::note:
    return true;
  case io::ledger_kind::run_started:
  case io::ledger_kind::attempt_started:
  case io::ledger_kind::worker_failed:
  case io::ledger_kind::worker_hung:
  case io::ledger_kind::host_suspected:
  case io::ledger_kind::card_suspected:
  case io::ledger_kind::recovered:
  case io::ledger_kind::phase_reopened:
  case io::ledger_kind::forked:
  case io::ledger_kind::attempt_finished:
  case io::ledger_kind::run_finished:
  case io::ledger_kind::run_failed:
    return false;
  }
  return false;
}

run_history::run_history(const io::run_directory& run) : ledger_(run) {
  for (const io::ledger_event& event : io::read_ledger(run.ledger())) {
    add_to_count(event.kind);
    phases_.note(event);
  }
}

void run_history::append(io::ledger_kind kind, io::ledger_fields fields) {
  write({.kind = kind, .attempt = static_cast<int64_t>(attempt_), .fields = std::move(fields)});
}

void run_history::write(const io::ledger_event& event) {
  files_.persist([&] { ledger_.append(event); });
  add_to_count(event.kind);
  phases_.note(event);
}

void run_history::add_to_count(io::ledger_kind kind) {
  switch (kind) {
  case io::ledger_kind::run_started:
    stops_ = stopped_ && !got_on_ ? stops_ + 1 : 0;
    stopped_ = got_on_ = false;
    break;
  case io::ledger_kind::stopped:
    stopped_ = true;
    break;
  case io::ledger_kind::checkpoint:
  case io::ledger_kind::phase_finished:
    got_on_ = true;
    break;
  case io::ledger_kind::run_failed:
    stopped_ = false;
    break;
  default:
    break;
  }
}

io::ledger_kind run_history::note(const ledger_note& told) {
  io::ledger_event event{.kind = is_directors(told.kind) ? told.kind : io::ledger_kind::note,
                         .attempt = static_cast<int64_t>(attempt_),
                         .phase = std::string(io::to_string(told.phase)),
                         .counter = static_cast<int64_t>(told.counter)};
  if (event.kind == io::ledger_kind::phase_started) {
    event.counter = 0;
    event.fields.emplace_back("total", static_cast<int64_t>(told.counter));
  }
  if (!told.text.empty()) {
    event.fields.emplace_back("text", told.text);
  }
  write(event);
  return event.kind;
}

}  // namespace troupe::actors
