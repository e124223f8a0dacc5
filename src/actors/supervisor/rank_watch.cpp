#include "actors/supervisor/rank_watch.hpp"

#include "base/error.hpp"
#include "base/stopwatch.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace troupe::actors {

void rank_watch::begin(int64_t ranks, clock::time_point now) {
  ranks_.assign(static_cast<size_t>(ranks), rank{});
  for (rank& one : ranks_) {
    one.last_sign = now;
  }
  reported_ = 0;
  first_report_.reset();
}

void rank_watch::welcome(const hello& words, clock::time_point now) {
  if (words.version != this_version()) {
    throw error(errc::unsupported,
                "rank {} on {} runs troupe {}, its supervisor {}: install one and the same program on all nodes",
                words.rank, words.host, words.version, this_version());
  }
  if (words.ranks != size() || words.rank < 0 || words.rank >= size()) {
    throw error(errc::bad_argument, "rank {} of {} reported to an attempt of {} ranks", words.rank, words.ranks,
                size());
  }
  rank& one = ranks_[static_cast<size_t>(words.rank)];
  if (one.stage) {
    throw error(errc::bad_argument, "rank {} has reported twice", words.rank);
  }
  one.stage = words.stage;
  one.host = words.host;
  one.pid = words.pid;
  one.last_sign = now;
  one.idle_since = now;
  ++reported_;
  first_report_ = first_report_.value_or(now);
}

void rank_watch::note(const beat& sign, clock::time_point now) {
  if (sign.rank < 0 || sign.rank >= size()) {
    return;
  }
  rank& one = ranks_[static_cast<size_t>(sign.rank)];
  one.last_sign = now;
  std::map<std::string, clock::time_point> progress;
  for (const activity& is : sign.busy) {
    const auto was = std::find_if(one.busy.begin(), one.busy.end(),
                                  [&is](const activity& before) { return before.actor == is.actor; });
    const bool stands = was != one.busy.end() && was->pulse == is.pulse;
    progress[is.actor] = stands ? one.last_progress[is.actor] : now;
  }
  if (!sign.busy.empty()) {
    one.idle_since.reset();
  } else if (!one.idle_since) {
    one.idle_since = now;
  }
  one.busy = sign.busy;
  one.last_progress = std::move(progress);
}

std::vector<int64_t> rank_watch::unheard() const {
  std::vector<int64_t> missing;
  for (int64_t r = 0; r < size(); ++r) {
    if (!(*this)[r].stage) {
      missing.push_back(r);
    }
  }
  return missing;
}

std::optional<int64_t> rank_watch::rank_of(const caf::actor_addr& stage) const {
  for (int64_t r = 0; r < size(); ++r) {
    if ((*this)[r].stage && stage == (*this)[r].stage->address()) {
      return r;
    }
  }
  return std::nullopt;
}

rank_watch::silence rank_watch::longest_silence(clock::time_point now) const {
  silence longest;
  for (int64_t r = 0; r < size(); ++r) {
    const double waited = seconds(now - (*this)[r].last_sign);
    if ((*this)[r].stage && waited > longest.seconds) {
      longest = {.rank = r, .seconds = waited};
    }
  }
  return longest;
}

std::vector<int64_t> rank_watch::silent(double limit, clock::time_point now) const {
  std::vector<int64_t> found;
  for (int64_t r = 0; r < size(); ++r) {
    if ((*this)[r].stage && seconds(now - (*this)[r].last_sign) > limit) {
      found.push_back(r);
    }
  }
  return found;
}

std::vector<standstill> rank_watch::activities_of(int64_t rank, clock::time_point now) const {
  const auto& one = (*this)[rank];
  std::vector<standstill> all;
  for (const activity& is : one.busy) {
    all.push_back({.rank = rank,
                   .actor = is.actor,
                   .operation = is.operation,
                   .waits = is.waits,
                   .seconds = seconds(now - one.last_progress.at(is.actor))});
  }
  return all;
}

static const standstill* longest(const std::vector<standstill>& of) {
  const auto found = std::max_element(of.begin(), of.end(),
                                      [](const standstill& a, const standstill& b) { return a.seconds < b.seconds; });
  return found != of.end() ? &*found : nullptr;
}

std::optional<standstill> rank_watch::find_hang(double limit, clock::time_point now) const {
  std::vector<standstill> all;
  for (int64_t r = 0; r < size(); ++r) {
    const std::vector<standstill> here = activities_of(r, now);
    all.insert(all.end(), here.begin(), here.end());
  }
  const standstill* most = longest(all);
  if (most == nullptr || most->seconds <= limit) {
    return std::nullopt;
  }
  // Beats are apart, and pieces of work differ in length: those who wait may seem to have stopped before their cause.
  std::vector<standstill> causes;
  std::copy_if(all.begin(), all.end(), std::back_inserter(causes),
               [limit](const standstill& one) { return !one.waits && one.seconds > limit / 2; });
  if (const standstill* cause = longest(causes)) {
    return *cause;
  }
  for (int64_t r = 0; r < size(); ++r) {  // others wait for it, and it knows nothing of that
    const auto& idle = (*this)[r].idle_since;
    if (idle && seconds(now - *idle) > limit / 2) {
      return standstill{.rank = r, .actor = "", .operation = "idle", .seconds = seconds(now - *idle)};
    }
  }
  return *most;
}

std::optional<double> rank_watch::all_idle(clock::time_point now) const {
  std::optional<double> shortest;
  for (const rank& one : ranks_) {
    if (!one.idle_since) {
      return std::nullopt;
    }
    const double idle = seconds(now - *one.idle_since);
    shortest = std::min(shortest.value_or(idle), idle);
  }
  return shortest;
}

std::optional<standstill> rank_watch::last_of(int64_t rank, clock::time_point now) const {
  const std::vector<standstill> all = activities_of(rank, now);
  std::vector<standstill> at_work;
  std::copy_if(all.begin(), all.end(), std::back_inserter(at_work), [](const standstill& one) { return !one.waits; });
  const standstill* found = longest(at_work.empty() ? all : at_work);
  return found != nullptr ? std::optional(*found) : std::nullopt;
}

}  // namespace troupe::actors
