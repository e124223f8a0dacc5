#include "actors/director/rollout.hpp"

#include "actors/director/ppo_state.hpp"
#include "actors/director/replies.hpp"
#include "actors/director/rollout_turns.hpp"
#include "actors/director/scoring_groups.hpp"
#include "actors/models/plan_options.hpp"
#include "base/stopwatch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <coroutine>
#include <exception>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

namespace troupe::actors {
namespace {

/// What the tasks of a rollout tell each other. Each of them holds it, since a task may outlive the others.
struct progress {
  serve_reply served;  ///< the batch of prompts
  on_stop stop = on_stop::drop;
  bool scored_meanwhile = false;  ///< somebody scores while others generate
  bool generated = false;         ///< nothing more will be handed over
  int64_t handed_over = 0;        ///< sequences
  statistics found;               ///< times and rates
  std::vector<std::coroutine_handle<>> waiting;

  void tell() {
    for (const std::coroutine_handle<> waiter : std::exchange(waiting, {})) {
      waiter.resume();
    }
  }

  /// Awaits that more than `seen` sequences have been handed over, or that all have.
  auto more_than(int64_t seen) {
    struct awaiter {
      progress& of;
      int64_t seen;
      bool await_ready() const noexcept { return of.generated || of.handed_over > seen; }
      void await_suspend(std::coroutine_handle<> waiter) { of.waiting.push_back(waiter); }
      void await_resume() const noexcept {}
    };
    return awaiter{*this, seen};
  }
};
using shared_progress = std::shared_ptr<progress>;

task<> hand_over(director_context& on, shared_progress rollout) {
  const auto sequences = co_await on.ask_all<replay_actor, int64_t>(&cast::replay, hand_over_atom_v);
  rollout->handed_over += sequences.front();  // every rank has seen all of them
  rollout->tell();
}

/// What generation has come to.
struct generated_so_far {
  int64_t unfinished = 0, tokens = 0;         ///< sequences, answer tokens
  double seconds = 0;                         ///< of the slowest ranks
  int64_t taken_up = 0, taken_up_tokens = 0;  ///< sequences of earlier attempts, and their answer tokens
};

/// A turn of all ranks that generate. `last`: what each group of `group_ranks` ranks answered the time before, and now.
task<> take_turn(director_context& on, uint64_t batch_id, size_t group_ranks, std::vector<generate_reply>& last,
                 generated_so_far& sum) {
  const auto policies = on.company().everyone<policy_actor>(&cast::policy);
  auto commands = next_turn(batch_id, last);
  for (generate_command& command : commands) {
    command.rollbacks = static_cast<uint64_t>(rollbacks(on.state()));
  }
  const auto command_of = [&commands, group_ranks](size_t rank) {
    return std::make_tuple(generate_atom_v, commands[rank / group_ranks]);
  };
  const auto replies = co_await ask_each<generate_reply>(on.self(), policies, command_of);
  sum.unfinished = 0;
  double slowest = 0;
  for (size_t group = 0; group < last.size(); ++group) {
    const generate_reply& reply = last[group] = replies[group * group_ranks];  // its ranks say the same
    sum.unfinished += reply.unfinished;
    sum.tokens += reply.answer_tokens;
    sum.taken_up += reply.taken_up;
    sum.taken_up_tokens += reply.taken_up_tokens;
    slowest = std::max(slowest, reply.seconds);
  }
  sum.seconds += slowest;
}

task<> generate_all(director_context& on, shared_progress rollout) {
  const size_t ranks = on.company().everyone<policy_actor>(&cast::policy).size();
  const auto group_ranks = static_cast<size_t>(tensor_parallel_of(on.job().place, static_cast<int>(ranks)));
  generated_so_far sum{.unfinished = rollout->served.sequences};
  std::vector<generate_reply> last(ranks / group_ranks);
  for (generate_reply& reply : last) {
    reply.unfinished = sum.unfinished;  // each takes its own share of the batch first
  }
  while (sum.unfinished > 0) {
    if (on.stopping() && rollout->stop == on_stop::drop) {
      throw stop_requested();
    }
    co_await take_turn(on, rollout->served.batch_id, group_ranks, last, sum);
    if (rollout->scored_meanwhile || sum.unfinished == 0) {
      co_await hand_over(on, rollout);
    }
  }
  generate_command end;
  end.batch_id = rollout->served.batch_id;
  end.ends = true;
  co_await on.ask_all<policy_actor, generate_reply>(&cast::policy, generate_atom_v, end);
  if (sum.taken_up > 0) {
    on.note(io::ledger_kind::note, on.state().counter,
            fmt::format("took up {} of {} sequences of a rollout ({} answer tokens) that an earlier attempt had "
                        "finished; {} answer tokens were sampled for the others",
                        sum.taken_up, rollout->served.sequences, sum.taken_up_tokens, sum.tokens));
  }
  rollout->found["time/generate_s"] = sum.seconds;
  rollout->found["rate/generate_tokens_per_s"] = per_second(static_cast<double>(sum.tokens), sum.seconds);
}

/// generate_all, after which nobody waits for more, however it has ended.
task<> generate(director_context& on, shared_progress rollout) {
  std::exception_ptr failure;
  try {
    co_await generate_all(on, rollout);
  } catch (...) {
    failure = std::current_exception();
  }
  rollout->generated = true;
  rollout->tell();
  if (failure) {
    std::rethrow_exception(failure);
  }
}

/// Scores what has been handed over, and what comes, until all has come.
task<> score(director_context& on, scoring_group group, shared_progress rollout) {
  std::vector<score_reply> totals(group.size());
  int64_t seen = 0;
  while (!rollout->generated || rollout->handed_over > seen) {
    co_await rollout->more_than(seen);
    if (rollout->handed_over == seen) {
      continue;  // all has come
    }
    seen = rollout->handed_over;
    for (size_t i = 0; i < group.size(); ++i) {
      const score_reply more = co_await score_waiting(on, group[i].part);
      totals[i].seconds += more.seconds;
      totals[i].tokens += more.tokens;
    }
  }
  for (size_t i = 0; i < group.size(); ++i) {
    add_scoring(rollout->found, group[i].name, totals[i]);
  }
}

}  // namespace

task<statistics> roll_out(director_context& on, serving prompts, uint64_t draw, on_stop stop) {
  const serve_reply served = co_await on.serve(prompts, draw);
  if (served.sequences == 0) {
    co_return statistics{};
  }
  const stopwatch watch;
  const auto rollout = std::make_shared<progress>();
  rollout->served = served;
  rollout->stop = stop;
  std::vector<task<>> meanwhile;
  std::vector<task<>> afterwards;
  for (const scoring_group& group : scoring_groups(on.company())) {
    (waits_for_policy(on.company(), group) ? afterwards : meanwhile).push_back(score(on, group, rollout));
  }
  rollout->scored_meanwhile = !meanwhile.empty();
  meanwhile.push_back(generate(on, rollout));
  co_await on.concurrent().run(std::move(meanwhile));
  co_await on.concurrent().run(std::move(afterwards));
  rollout->found["time/rollout_s"] = watch.seconds();
  co_return std::move(rollout->found);
}

}  // namespace troupe::actors
