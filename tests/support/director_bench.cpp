#include "support/director_bench.hpp"

namespace troupe::test {

void DirectorBench::SetUp() {
  job_.run.phases = {io::phase::sft, io::phase::ppo};
  job_.run.checkpoint_every = 1;
  job_.ppo.policy = job_.ppo.critic = {.learning_rate = 0.5, .schedule = io::schedule::constant};
  run_.begin_attempt();
}

void DirectorBench::TearDown() {
  if (bench_) {
    actors_.end(bench_);
  }
  if (cast_) {
    cast_->end();
  }
}

void DirectorBench::perform(io::phase phase, director_work work) {
  actors::director_settings settings{.job = job_,
                                     .run = run_,
                                     .attempt = 1,
                                     .finished_phases = {},
                                     .stages = cast().stages,
                                     .metrics = cast().metrics,
                                     .supervisor = cast().supervisor};
  bench_ = actors_.system().spawn(
      [this, phase, work = std::move(work), settings = std::move(settings)](
          actors::director_actor::stateful_pointer<bench_state> self) -> actors::director_actor::behavior_type {
        bench_state& state = self->state;
        state.context.emplace(self, settings);
        state.checkpoints.emplace(*state.context);
        state.performance = watch(&state, phase, work);
        state.performance.start();
        return {[&state](actors::stop_atom) { state.context->request_stop(); }};
      });
  actors_.run();
}

actors::task<> DirectorBench::watch(bench_state* state, io::phase phase, director_work work) {
  try {
    co_await state->context->set_stage(phase);
    actors::task<> performance = work(*state->context, *state->checkpoints);
    co_await performance;
  } catch (const actors::stop_requested&) {
    dropped_ = true;
  } catch (const error& failure) {
    failure_ = failure;
  }
  ended_ = true;
}

}  // namespace troupe::test
