#include "actors/director/director.hpp"

#include "actors/director/pairs_plan.hpp"
#include "actors/director/ppo_plan.hpp"
#include "actors/director/replay_plan.hpp"
#include "actors/director/supervised_plan.hpp"
#include "actors/protocol/error_replies.hpp"
#include "base/assert.hpp"

namespace troupe::actors {

director_actor::behavior_type director(director_actor::stateful_pointer<director_state> self,
                                       director_settings settings) {
  die_telling_why(self);
  self->state.open(std::move(settings));
  return {[self](stop_atom) { self->state.request_stop(); }};
}

void director_state::open(director_settings settings) {
  context_.emplace(self_, std::move(settings));
  checkpoints_.emplace(*context_);
  performance_ = perform();
  performance_.start();
}

std::unique_ptr<phase_plan> director_state::plan_of(io::phase phase) {
  const io::job& job = context_->job();
  switch (phase) {
  case io::phase::pairs:
    return std::make_unique<pairs_plan>(*context_);
  case io::phase::sft:
    return std::make_unique<supervised_plan>(*context_, *checkpoints_, sft_lesson(job));
  case io::phase::reward:
    return std::make_unique<supervised_plan>(*context_, *checkpoints_, reward_lesson(job));
  case io::phase::ppo:
    return std::make_unique<ppo_plan>(*context_, *checkpoints_);
  case io::phase::replay:
    return std::make_unique<replay_plan>(*context_, *checkpoints_);
  }
  assertion_failed("a phase without a plan", __FILE__, __LINE__);
}

task<outcome> director_state::perform_phases() {
  bool all_finished = true;
  for (const io::phase phase : context_->job().run.phases) {
    if (!context_->stopping() && !context_->finished(phase)) {
      co_await context_->set_stage(phase);
      plan_ = plan_of(phase);
      co_await plan_->perform();
    }
    all_finished = all_finished && context_->finished(phase);
  }
  co_return all_finished ? outcome::finished : outcome::stopped;  // a stop may come as the last phase ends
}

/// Nobody awaits it: what it throws besides, where no memory is left to tell of a failure, ends the director, and the
/// supervisor hears of that.
task<> director_state::perform() {
  std::exception_ptr failure;
  try {
    co_await perform_and_report();
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    self_->quit(to_caf_error(to_troupe_error(failure)));
  }
}

task<> director_state::perform_and_report() {
  attempt_result result;
  result.attempt = context_->attempt();
  bool at_rest = false;  // the ranks, after a failure
  try {
    result.outcome = co_await perform_phases();
  } catch (...) {
    const error failure = to_troupe_error(std::current_exception());
    result.code = failure.code();
    result.text = failure.what();
    at_rest = found_by_all(failure);
  }
  if (at_rest) {
    co_await checkpoints_->rescue_last();
  }
  context_->report(std::move(result));
}

}  // namespace troupe::actors
