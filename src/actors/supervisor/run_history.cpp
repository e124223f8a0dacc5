#include "actors/supervisor/run_history.hpp"

#include <utility>

namespace troupe::actors {

/// What the director may say. All else is the supervisor's own.
static io::ledger_kind directors_kind(const std::string& name) {
  for (const auto known : {io::ledger_kind::checkpoint, io::ledger_kind::checkpoint_damaged,
                           io::ledger_kind::checkpoint_failed, io::ledger_kind::phase_started,
                           io::ledger_kind::phase_resumed, io::ledger_kind::phase_finished, io::ledger_kind::stopped}) {
    if (name == io::to_string(known)) {
      return known;
    }
  }
  return io::ledger_kind::note;
}

run_history::run_history(const io::run_directory& run) : ledger_(run) {
  for (const io::ledger_event& event : io::read_ledger(run.ledger())) {
    add_to_count(event.kind);
    if (event.kind == io::ledger_kind::phase_finished) {
      finished_phases_.insert(event.phase);
    }
  }
}

void run_history::append(io::ledger_kind kind, io::ledger_fields fields) {
  write({.kind = kind, .attempt = static_cast<int64_t>(attempt_), .fields = std::move(fields)});
}

void run_history::write(const io::ledger_event& event) {
  files_.persist([&] { ledger_.append(event); });
  add_to_count(event.kind);
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

io::ledger_kind run_history::note(const std::string& kind, const std::string& phase, uint64_t counter,
                                  const std::string& text) {
  io::ledger_event event{.kind = directors_kind(kind),
                         .attempt = static_cast<int64_t>(attempt_),
                         .phase = phase,
                         .counter = static_cast<int64_t>(counter)};
  if (event.kind == io::ledger_kind::phase_started) {
    event.counter = 0;
    event.fields.emplace_back("total", static_cast<int64_t>(counter));
  }
  if (!text.empty()) {
    event.fields.emplace_back("text", text);
  }
  write(event);
  if (event.kind == io::ledger_kind::phase_finished) {
    finished_phases_.insert(phase);
  }
  return event.kind;
}

}  // namespace troupe::actors
