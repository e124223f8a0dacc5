#include "actors/supervisor/attempt.hpp"

#include "actors/hosts/launcher_talk.hpp"
#include "base/card_name.hpp"
#include "base/printable.hpp"
#include "base/processes.hpp"
#include "base/stopwatch.hpp"

#include <fmt/format.h>
#include <sys/wait.h>

#include <csignal>
#include <utility>
#include <vector>

namespace troupe::actors {

constexpr double patience_with_launcher_s = 1;
constexpr double patience_after_failure_s = 5;
constexpr double patience_with_late_ranks_s = 5;

attempt::attempt(uint64_t number, launch_plan plan, const launch_command& start,
                 std::function<void(int wait_status)> on_exit, console_ptr words, clock::time_point now)
    : number_(number), plan_(std::move(plan)), started_(now) {
  ranks_.begin(plan_.ranks, started_);
  // mpirun's own explanations belong to the log: why an attempt fails is the supervisor's to say.
  line_listener hear = [words, talk = launcher_talk()](std::string_view line) mutable {
    if (talk.is_own(line)) {
      words->note(printable(line));
    } else {
      words->say(is_log_detail(line) ? weight::detail : weight::trouble, printable(line));
    }
  };
  launcher_ = std::make_unique<child_process>(start.argv, std::move(on_exit), start.extra, std::move(hear));
}

std::optional<lost_card> attempt::card_in(const std::string& failure) const {
  const std::optional<named_card> named = plan_.cards_are_told_apart ? find_card_name(failure) : std::nullopt;
  for (int64_t rank = 0; named && rank < ranks_.size(); ++rank) {
    if (ranks_[rank].host == named->host) {
      const std::string node = host_of(plan_, rank);
      return lost_card{.node = node,
                       .host = named->host,
                       .number = named->number,
                       .rank = rank_with_card(plan_, node, named->number)};
    }
  }
  return std::nullopt;
}

void attempt::conclude(const attempt_result& result, clock::time_point now) {
  result_ = result;
  ending_since_ = now;
}

void attempt::condemn(const std::string& reason, clock::time_point now) {
  failure_ = reason;
  ending_since_ = now;
  if (launcher_) {
    launcher_->signal(stop_signal(plan_.kind));
  }
}

void attempt::note_end(int wait_status) {
  const std::string words = said().of_ranks();
  failure_ += fmt::format(" ({}{}{})", describe_exit(wait_status), words.empty() ? "" : ": ", words);
}

/// A failure has left ranks wherever they were, perhaps waiting for each other: they may not be able to leave.
bool attempt::ends_in_order() const { return result_ && result_->outcome != outcome::failed; }

bool attempt::refused(int wait_status) const {
  return plan_.kind == launcher_kind::srun && !condemned() && !ranks_.complete() &&
         is_refusal(wait_status, said().text());
}

void attempt::hasten_end(const io::recovery_section& limits, clock::time_point now) {
  const double patience_s = condemned()       ? patience_with_launcher_s
                            : ends_in_order() ? limits.stop_deadline_s
                                              : patience_after_failure_s;
  if (seconds(now - ending_since_) > patience_s) {
    kill();
    ending_since_ = now;
  }
}

void attempt::kill() const {
  if (launcher_) {
    launcher_->signal(SIGKILL);
  }
}

std::optional<trouble> attempt::overdue(const io::recovery_section& limits, clock::time_point now) const {
  if (const std::optional<trouble> silent = overdue_sign(limits, now)) {
    return silent;
  }
  if (!ranks_.complete()) {
    return overdue_start(limits, now);
  }
  if (const std::optional<standstill> hang = ranks_.find_hang(limits.worker_deadline_s, now)) {
    return trouble{.kind = io::ledger_kind::worker_hung,
                   .rank = hang->rank,
                   .at = hang,
                   .reason = fmt::format("no progress for {:.1f} s{}", hang->seconds,
                                         hang->waits ? ", waiting for other ranks" : ""),
                   .fields = {{"seconds", hang->seconds}}};
  }
  if (const std::optional<double> idle = ranks_.all_idle(now); idle.value_or(0) > limits.worker_deadline_s) {
    return trouble{.kind = io::ledger_kind::worker_hung,
                   .reason = fmt::format("no rank has had anything to do for {:.1f} s, and none has failed: what the "
                                         "director waits for will not come",
                                         *idle),
                   .fields = {{"seconds", *idle}}};
  }
  return std::nullopt;
}

std::optional<trouble> attempt::overdue_sign(const io::recovery_section& limits, clock::time_point now) const {
  const auto [rank, silence] = ranks_.longest_silence(now);
  if (silence <= limits.silence_deadline_s) {
    return std::nullopt;
  }
  // Several nodes may have gone at once, and the last of them a moment after the first.
  return trouble{.kind = io::ledger_kind::worker_hung,
                 .rank = rank,
                 .reason = fmt::format("no sign of life for {:.1f} s", silence),
                 .fields = {{"seconds", silence}},
                 .suspects = hosts_of(ranks_.silent(limits.silence_deadline_s / 2, now))};
}

std::optional<trouble> attempt::overdue_start(const io::recovery_section& limits, clock::time_point now) const {
  const double waited = seconds(now - started_);
  // Ranks start together: those that are much later than the first will not come.
  const bool others_wait = ranks_.first_report() && seconds(now - *ranks_.first_report()) >
                                                        limits.silence_deadline_s + patience_with_late_ranks_s;
  if (waited <= limits.start_deadline_s && !others_wait) {
    return std::nullopt;
  }
  return trouble{.kind = io::ledger_kind::worker_hung,
                 .rank = ranks_.unheard().front(),
                 .reason = fmt::format("waited {:.1f} s for its first word", waited),
                 .fields = {{"seconds", waited}},
                 .suspects = unheard_hosts()};
}

trouble attempt::untimely_end(int wait_status) const {
  const bool clean = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
  const std::string how = describe_exit(wait_status);
  const std::string words = ranks_.complete() ? said().of_ranks() : said().of_anybody();
  return {.kind = io::ledger_kind::worker_failed,
          .rank = ranks_.size() == 1 ? 0 : -1,
          .reason = (clean ? "it ended before its work was done" : how) + (words.empty() ? "" : ": " + words),
          .fields = {{"exit", how}},
          .suspects = unheard_hosts()};
}

std::set<std::string> attempt::hosts_of(const std::vector<int64_t>& ranks) const {
  std::set<std::string> hosts;
  for (const int64_t rank : ranks) {
    if (std::string host = host_of(plan_, rank); !host.empty()) {
      hosts.insert(std::move(host));
    }
  }
  return hosts;
}

std::set<std::string> attempt::unheard_hosts() const {
  const std::vector<int64_t> missing = ranks_.unheard();
  const bool none_has = static_cast<int64_t>(missing.size()) == ranks_.size();
  return none_has ? std::set<std::string>() : hosts_of(missing);  // then the launch itself is at fault
}

}  // namespace troupe::actors
