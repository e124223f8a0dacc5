#include "actors/rank_watch.hpp"

#include "actors/stopwatch.hpp"
#include "kernels/base/error.hpp"

namespace troupe::actors {

void rank_watch::begin(int64_t ranks, clock::time_point now) {
  ranks_.assign(static_cast<size_t>(ranks), rank{});
  for (rank& one : ranks_) {
    one.last_sign = one.last_progress = now;
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
  one.last_sign = one.last_progress = now;
  ++reported_;
  first_report_ = first_report_.value_or(now);
}

void rank_watch::note(const beat& sign, clock::time_point now) {
  if (sign.rank < 0 || sign.rank >= size()) {
    return;
  }
  rank& one = ranks_[static_cast<size_t>(sign.rank)];
  one.last_sign = now;
  if (sign.pulse != one.pulse || sign.operation == "idle") {
    one.pulse = sign.pulse;
    one.last_progress = now;
  }
  one.operation = sign.operation;
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

static rank_watch::delay longest(const rank_watch& watch, rank_watch::clock::time_point rank_watch::rank::*since,
                                 rank_watch::clock::time_point now) {
  rank_watch::delay most;
  for (int64_t r = 0; r < watch.size(); ++r) {
    const double waited = seconds(now - watch[r].*since);
    if (watch[r].stage && waited > most.seconds) {
      most = {.rank = r, .seconds = waited};
    }
  }
  return most;
}

rank_watch::delay rank_watch::longest_silence(clock::time_point now) const {
  return longest(*this, &rank::last_sign, now);
}

std::set<std::string> rank_watch::silent_hosts(double limit, clock::time_point now) const {
  std::set<std::string> hosts;
  for (const rank& one : ranks_) {
    if (one.stage && seconds(now - one.last_sign) > limit) {
      hosts.insert(one.host);
    }
  }
  return hosts;
}

rank_watch::delay rank_watch::longest_standstill(clock::time_point now) const {
  return longest(*this, &rank::last_progress, now);
}

}  // namespace troupe::actors
