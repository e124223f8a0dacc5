#include "io/run/phases_begun.hpp"

#include "io/job/phases.hpp"

namespace troupe::io {

void phases_begun::note(const ledger_event& event) {
  const std::optional<phase> of = phase_of(event.phase);
  if (!of) {
    return;
  }
  switch (event.kind) {
  case ledger_kind::phase_started:
    progress_[*of] = {};
    break;
  case ledger_kind::phase_resumed:
  case ledger_kind::checkpoint:
    progress_[*of].done = event.counter;
    break;
  case ledger_kind::phase_finished:
    progress_[*of] = {.finished = true, .done = event.counter};
    break;
  case ledger_kind::phase_reopened:
    progress_[*of].finished = false;
    break;
  default:
    break;
  }
}

std::set<phase> phases_begun::finished() const {
  std::set<phase> out;
  for (const auto& [one, progress] : progress_) {
    if (progress.finished) {
      out.insert(one);
    }
  }
  return out;
}

phases_begun phases_begun_of(const std::vector<ledger_event>& ledger) {
  phases_begun out;
  for (const ledger_event& event : ledger) {
    out.note(event);
  }
  return out;
}

}  // namespace troupe::io
