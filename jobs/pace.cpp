#include "jobs/pace.hpp"

#include "base/error.hpp"
#include "base/thread_pool.hpp"
#include "engine/product_rate.hpp"
#include "io/run/ledger.hpp"
#include "io/run/metrics.hpp"
#include "io/run/run_directory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace troupe {

namespace {

/// Of the matrix product's rate, what whole phases sustain: training and scoring three quarters of it at 135 M
/// parameters, generation half, small models less (docs/performance.md).
constexpr double sustained_share = 0.4;

/// The records of a phase in the last attempt that has two of them.
struct stretch {
  const io::metrics_record* first = nullptr;
  const io::metrics_record* last = nullptr;

  double seconds_each() const {
    const auto done = static_cast<double>(last->counter() - first->counter());
    return (last->time - first->time) / done;
  }
};

std::optional<stretch> newest_stretch(const std::vector<io::metrics_record>& records, const std::string& phase) {
  std::map<int64_t, stretch> by_attempt;
  for (const io::metrics_record& record : records) {
    if (record.phase == phase && record.counter() > 0) {  // the first is an evaluation of what has learned nothing yet
      stretch& of = by_attempt[record.attempt];
      of.first = of.first == nullptr ? &record : of.first;
      of.last = &record;
    }
  }
  for (auto attempt = by_attempt.rbegin(); attempt != by_attempt.rend(); ++attempt) {
    if (attempt->second.last->counter() > attempt->second.first->counter() &&
        attempt->second.last->time > attempt->second.first->time) {
      return attempt->second;
    }
  }
  return std::nullopt;
}

std::map<int64_t, int64_t> ranks_of_attempts(const io::run_directory& run) {
  std::map<int64_t, int64_t> ranks;
  for (const io::ledger_event& event : io::read_ledger(run.ledger())) {
    if (event.kind != io::ledger_kind::attempt_started) {
      continue;
    }
    for (const auto& [name, value] : event.fields) {
      if (const auto* number = std::get_if<int64_t>(&value); name == "ranks" && number != nullptr) {
        ranks[event.attempt] = *number;
      }
    }
  }
  return ranks;
}

pace pace_in(const io::run_directory& run) {
  const std::vector<phase_plan> plans = plan_job(run.recorded_job());
  const std::vector<io::metrics_record> records = io::read_metrics(run.metrics());
  std::map<int64_t, int64_t> ranks = ranks_of_attempts(run);
  pace found;
  for (const phase_plan& plan : plans) {
    if (const auto measured = newest_stretch(records, plan.phase)) {
      const auto of = static_cast<double>(std::max<int64_t>(1, ranks[measured->last->attempt]));
      found.of_phases[plan.phase] = plan.flops_each / measured->seconds_each() / of;
    }
  }
  for (const auto& [phase, rate] : found.of_phases) {  // of what has not been measured, nothing better than the slowest
    found.flops_per_s = found.flops_per_s == 0 ? rate : std::min(found.flops_per_s, rate);
  }
  return found;
}

}  // namespace

double pace::of(const std::string& phase) const {
  const auto found = of_phases.find(phase);
  return found != of_phases.end() ? found->second : flops_per_s;
}

pace stated_pace(double gflops) {
  return {
      .flops_per_s = gflops * 1e9, .of_phases = {}, .source = fmt::format("{:.4g} GFLOP/s a rank, as stated", gflops)};
}

std::optional<pace> recorded_pace(const io::job& job) {
  try {
    pace found = pace_in(io::run_directory::open(job.run.dir));
    if (found.of_phases.empty()) {
      return std::nullopt;
    }
    found.source = fmt::format("measured in {}", job.run.dir);
    return found;
  } catch (const error&) {  // there is no run, or not one that tells
    return std::nullopt;
  }
}

pace measured_pace(int64_t threads) {
  const auto cores = std::max<int64_t>(1, std::thread::hardware_concurrency());
  const int64_t used = std::min(threads, cores);
  thread_pool pool(static_cast<int>(used));
  const double rate = engine::product_rate(pool) * static_cast<double>(threads) / static_cast<double>(used);
  return {.flops_per_s = sustained_share * rate,
          .of_phases = {},
          .source = fmt::format("{:.0f} % of this machine's matrix product, {:.3g} GFLOP/s with {} threads{}",
                                100 * sustained_share, rate / 1e9, threads,
                                used < threads ? fmt::format(" (measured with {})", used) : "")};
}

pace find_pace(const io::job& job, double gflops, int64_t threads) {
  if (gflops > 0) {
    return stated_pace(gflops);
  }
  if (std::optional<pace> found = recorded_pace(job)) {
    return *found;
  }
  if (job.place.device == io::device_choice::cuda) {
    return {.source = "nothing tells how fast a card works before it has: --gflops N states what one sustains"};
  }
  return measured_pace(threads);
}

double seconds_each(const phase_plan& plan, const pace& at, int64_t ranks) {
  return plan.flops_each / (at.of(plan.phase) * static_cast<double>(ranks));
}

std::optional<double> seconds_in_all(const std::vector<phase_plan>& plans, const pace& at, int64_t ranks) {
  double sum = 0;
  for (const phase_plan& plan : plans) {
    if (plan.count == 0 || !at.knows(plan.phase)) {
      return std::nullopt;
    }
    sum += static_cast<double>(plan.count) * seconds_each(plan, at, ranks);
  }
  return sum;
}

}  // namespace troupe
