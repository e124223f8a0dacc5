#include "actors/supervisor/restart_policy.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace troupe::actors {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds first_pause = 250ms;
constexpr std::chrono::milliseconds longest_pause = 10s;
// Slurm's controller may be restarted, or fail over: as slurm/troupe.sh has it. What has never worked is more likely
// wrong than away, and its user is waiting.
constexpr std::chrono::seconds patience_with_slurm = 15min;
constexpr std::chrono::seconds patience_at_first = 2min;

static std::chrono::seconds patience(bool launched) { return launched ? patience_with_slurm : patience_at_first; }

void restart_policy::note_launch() {
  launched_ = true;
  end_refusals();
}

void restart_policy::note_progress() {
  failures_ = 0;
  alike_ = 0;
}

void restart_policy::end_refusals() {
  refused_since_.reset();
  refused_for_ = {};
  refusals_ = 0;
}

void restart_policy::note_refusal(clock::time_point now) {
  refused_since_ = refused_since_.value_or(now);
  refused_for_ = now - *refused_since_;
  ++refusals_;
  ++failed_launches_;
}

bool restart_policy::gives_up() const { return failures_ > restarts_ || refused_for_ > patience(launched_); }

void restart_policy::note_failure(bool launched) {
  end_refusals();
  ++failures_;
  alike_ = step_ == failed_after_ ? alike_ + 1 : 1;
  failed_after_ = step_;
  failed_launches_ = launched ? 0 : failed_launches_ + 1;
}

std::string restart_policy::parting_words(const std::string& last, const std::set<std::string>& hosts) const {
  if (refusals_ > 0 && failures_ <= restarts_) {
    return fmt::format(
        "Slurm has not started the ranks for {} s, in {} tries, last: {}. See that it is well (scontrol "
        "ping, sinfo, srun --mpi=list), then submit the same command again: the run goes on from its last checkpoint",
        std::chrono::duration_cast<std::chrono::seconds>(refused_for_).count(), refusals_, last);
  }
  const std::string where =
      hosts.size() < 2 ? "" : fmt::format(", on {} alike, so that no host is to blame", fmt::join(hosts, ", "));
  const bool same_step = alike_ > 1 && alike_ == failures_ && !failed_after_.empty();
  const std::string when =
      same_step ? fmt::format(", each time after {}: what comes next fails by itself", failed_after_) : "";
  return fmt::format(
      "the worker failed {} times without a new checkpoint{}{}, last: {}. The run can be resumed from its last "
      "checkpoint once the cause is found (recovery.restarts = {})",
      failures_, when, where, last, restarts_);
}

std::chrono::milliseconds restart_policy::pause() const {
  if (failed_launches_ == 0) {
    return 0ms;
  }
  return failed_launches_ == 1 ? first_pause
                               : std::min<std::chrono::milliseconds>(failed_launches_ * 1s, longest_pause);
}

}  // namespace troupe::actors
