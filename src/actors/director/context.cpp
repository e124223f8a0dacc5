#include "actors/director/context.hpp"

#include "io/job/phases.hpp"

#include <spdlog/spdlog.h>

namespace troupe::actors {

task<> director_context::set_stage(io::phase phase) {
  company_ = actors::company(co_await ask_everyone<cast>(self_, settings_.stages, stage_atom_v, phase));
  for (const std::string& line : company_.notes()) {
    spdlog::info("{}: {}", io::to_string(phase), line);
  }
  state_ = {.phase = phase, .counter = 0, .values = {}};
}

task<serve_reply> director_context::serve(serving what, uint64_t counter) {
  const serve_command wanted{what, counter};
  const auto served = co_await ask_all<loader_actor, serve_reply>(&cast::loader, serve_atom_v, wanted);
  co_return served.front();  // every rank has made the same batch
}

task<> director_context::record(metrics_record line) {
  line.phase = state_.phase;
  line.attempt = settings_.attempt;
  co_await ask<bool>(self_, settings_.metrics, record_atom_v, line);
  caf::anon_send(settings_.supervisor, reached_atom_v, state_.phase, state_.counter);
}

task<> director_context::truncate_records(int64_t counter) {
  std::vector<stale_records> stale = {{.phase = state_.phase, .beyond = counter}};
  for (const io::phase later : io::phases_after(settings_.job.run.phases, state_.phase)) {
    if (!finished(later)) {  // as one may be that does not go on from this phase
      stale.push_back({.phase = later, .beyond = -1});
    }
  }
  co_await ask<bool>(self_, settings_.metrics, truncate_atom_v, stale);
}

void director_context::show(std::string doing, uint64_t total, std::string unit, std::string summary) {
  self_->send(settings_.metrics, progress_atom_v,
              progress_note{.phase = state_.phase,
                            .doing = std::move(doing),
                            .done = state_.counter,
                            .total = total,
                            .unit = std::move(unit),
                            .summary = std::move(summary)});
}

void director_context::note(io::ledger_kind kind, uint64_t counter, std::string text) {
  note({.kind = kind, .phase = state_.phase, .counter = counter, .text = std::move(text)});
}

void director_context::note(ledger_note event) { caf::anon_send(settings_.supervisor, std::move(event)); }

void director_context::doubt(const std::vector<std::string>& doubts) {
  for (const std::string& told : doubts_.fresh(doubts)) {
    spdlog::warn("{}: {}", io::to_string(state_.phase), told);
    note(io::ledger_kind::note, state_.counter, told);
  }
}

void director_context::finish_phase() {
  settings_.finished_phases.insert(state_.phase);
  note(io::ledger_kind::phase_finished, state_.counter);
}

}  // namespace troupe::actors
