// Rollouts: answers are generated, handed to those who score them, and scored; at the same time as far as the job has
// placed the models on ranks of their own.
#include "actors/cast/policy.hpp"
#include "actors/cast/reference.hpp"
#include "actors/cast/replay.hpp"
#include "actors/director/director_plans.hpp"
#include "actors/models/plan_options.hpp"
#include "base/stopwatch.hpp"

#include <algorithm>
#include <coroutine>
#include <tuple>

namespace troupe::actors {

/// Decode steps in one command: a stop request, and scorers on other ranks, need not wait for the whole rollout.
static constexpr int64_t steps_per_command = 16;

/// What the parts of a rollout tell each other.
struct director_state::rollout_progress {
  bool scored_meanwhile = false;  ///< somebody scores while others generate
  bool generated = false;         ///< nothing more will be handed over
  int64_t handed_over = 0;        ///< sequences
  statistics found;               ///< times and rates
  std::vector<std::coroutine_handle<>> waiting;

  void tell() {
    for (const std::coroutine_handle<> one : std::exchange(waiting, {})) {
      one.resume();
    }
  }

  /// Awaits that more than `seen` sequences have been handed over, or that all have.
  auto more_than(int64_t seen) {
    struct awaiter {
      rollout_progress& on;
      int64_t seen;
      bool await_ready() const noexcept { return on.generated || on.handed_over > seen; }
      void await_suspend(std::coroutine_handle<> plan) { on.waiting.push_back(plan); }
      void await_resume() const noexcept {}
    };
    return awaiter{*this, seen};
  }
};

/// What each group of ranks that generate together is to do next: a few decode steps, and prompts that have not been begun
/// move from the group with the most of them to one that has run out of work.
static std::vector<generate_command> next_commands(uint64_t batch_id, const std::vector<generate_reply>& now) {
  std::vector<generate_command> commands(now.size());
  std::vector<std::vector<uint64_t>> waiting(now.size());
  for (size_t r = 0; r < now.size(); ++r) {
    commands[r].batch_id = batch_id;
    commands[r].steps = steps_per_command;
    waiting[r] = now[r].waiting;
  }
  for (size_t idle = 0; idle < now.size(); ++idle) {
    if (now[idle].unfinished > 0) {
      continue;
    }
    const auto most = std::max_element(waiting.begin(), waiting.end(),
                                       [](const auto& a, const auto& b) { return a.size() < b.size(); });
    const auto donor = static_cast<size_t>(most - waiting.begin());
    for (size_t count = (most->size() + 1) / 2; count > 0; --count) {
      commands[idle].take.push_back(most->back());
      commands[donor].give.push_back(most->back());
      most->pop_back();
    }
  }
  return commands;
}

task<> director_state::hand_over(shared_rollout on) {
  const auto replays = everyone<replay_actor>(&cast::replay);
  const std::vector<int64_t> sequences = co_await ask_everyone<int64_t>(self_, replays, hand_over_atom_v);
  on->handed_over += sequences.front();  // every rank has seen all of them
  on->tell();
}

task<> director_state::generate_all(serve_reply served, shared_rollout on) {
  const auto policies = everyone<policy_actor>(&cast::policy);
  const auto together = static_cast<size_t>(
      tensor_parallel_of(settings_->job.place, static_cast<int>(policies.size())));  // ranks, which say the same
  int64_t tokens = 0;
  double seconds = 0;
  int64_t unfinished = served.sequences;
  std::vector<generate_reply> now(policies.size() / together);
  for (generate_reply& one : now) {
    one.unfinished = unfinished;  // each takes its own share of the batch first
  }
  while (unfinished > 0) {
    if (stopping_ && !evaluating_) {
      throw stop_requested();
    }
    const auto commands = next_commands(served.batch_id, now);
    const auto command_of = [&commands, together](size_t rank) {
      return std::make_tuple(generate_atom_v, commands[rank / together]);
    };
    const auto replies = co_await ask_each<generate_reply>(self_, policies, command_of);
    unfinished = 0;
    double slowest = 0;
    for (size_t group = 0; group < now.size(); ++group) {
      const generate_reply& one = now[group] = replies[group * together];
      unfinished += one.unfinished;
      tokens += one.answer_tokens;
      slowest = std::max(slowest, one.seconds);
    }
    seconds += slowest;
    if (on->scored_meanwhile || unfinished == 0) {
      co_await hand_over(on);
    }
  }
  generate_command end;
  end.batch_id = served.batch_id;
  end.ends = true;
  co_await ask_everyone<generate_reply>(self_, policies, generate_atom_v, end);
  on->found["time/generate_s"] = seconds;
  on->found["rate/generate_tokens_per_s"] = per_second(static_cast<double>(tokens), seconds);
}

/// generate_all, after which nobody waits for more, however it has ended.
task<> director_state::generate(serve_reply served, shared_rollout on) {
  std::exception_ptr failure;
  try {
    co_await generate_all(served, on);
  } catch (...) {
    failure = std::current_exception();
  }
  on->generated = true;
  on->tell();
  if (failure) {
    std::rethrow_exception(failure);
  }
}

/// Scores what waits at one of the scorers; the tokens of it, and the seconds of the slowest rank.
task<score_reply> director_state::score_waiting(scoring_part part) {
  const auto scorers = everyone<scorer_actor>(part.by);
  score_reply total;
  for (const score_reply& rank : co_await ask_everyone<score_reply>(self_, scorers, score_atom_v)) {
    total.tokens += rank.tokens;
    total.seconds = std::max(total.seconds, rank.seconds);
  }
  co_return total;
}

/// Scores what has been handed over, and what comes, until all has come.
task<> director_state::score(crew parts, shared_rollout on) {
  std::vector<score_reply> totals(parts.size());
  int64_t seen = 0;
  while (!on->generated || on->handed_over > seen) {
    co_await on->more_than(seen);
    if (on->handed_over == seen) {
      continue;  // all has come
    }
    seen = on->handed_over;
    for (size_t i = 0; i < parts.size(); ++i) {
      const score_reply more = co_await score_waiting(parts[i]);
      totals[i].seconds += more.seconds;
      totals[i].tokens += more.tokens;
    }
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    on->found["time/" + parts[i].name + "_s"] = totals[i].seconds;
    on->found["rate/" + parts[i].name + "_tokens_per_s"] =
        per_second(static_cast<double>(totals[i].tokens), totals[i].seconds);
  }
}

std::vector<director_state::crew> director_state::crews() const {
  std::vector<crew> all;
  for (const scoring_part& part : {scoring_part{&cast::reference, "reference"}, scoring_part{&cast::reward, "reward"},
                                   scoring_part{&cast::critic, "critic"}}) {
    if (!has(part.by)) {
      continue;
    }
    crew joined;
    std::erase_if(all, [&](const crew& one) {
      const bool meets = std::any_of(one.begin(), one.end(),
                                     [&](const scoring_part& other) { return share_ranks(other.by, part.by); });
      if (meets) {
        joined.insert(joined.end(), one.begin(), one.end());
      }
      return meets;
    });
    joined.push_back(part);
    all.push_back(std::move(joined));
  }
  return all;
}

task<statistics> director_state::roll_out(serving prompts, uint64_t draw) {
  const serve_reply served = co_await serve(prompts, draw);
  if (served.sequences == 0) {
    co_return statistics{};
  }
  const stopwatch watch;
  const auto on = std::make_shared<rollout_progress>();
  std::vector<task<>> meanwhile;
  std::vector<task<>> afterwards;
  for (const crew& one : crews()) {
    const bool waits = std::any_of(one.begin(), one.end(),
                                   [this](const scoring_part& part) { return share_ranks(part.by, &cast::policy); });
    (waits ? afterwards : meanwhile).push_back(score(one, on));
  }
  on->scored_meanwhile = !meanwhile.empty();
  meanwhile.push_back(generate(served, on));
  co_await concurrent_.run(std::move(meanwhile));
  co_await concurrent_.run(std::move(afterwards));
  on->found["time/rollout_s"] = watch.seconds();
  co_return std::move(on->found);
}

}  // namespace troupe::actors
