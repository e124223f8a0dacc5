// Ranks as threads. A rank leaves its call at the operation's meeting; who comes last does the work of all, so that no
// operation depends on the order in which ranks wait for theirs.
#include "base/error.hpp"
#include "engine/parallel/checked.hpp"
#include "kernels/join.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>

namespace troupe::engine {

namespace {

struct meeting {
  std::vector<call> calls;  ///< by rank; of a send and its receive, in this order. rank < 0: not there yet
  size_t arrived = 0;
  bool working = false, done = false;
  std::optional<error> failure;
};

using meeting_ptr = std::shared_ptr<meeting>;

void copy_bytes(std::byte* to, const std::byte* from, int64_t bytes) {
  if (bytes > 0 && to != from) {
    std::memcpy(to, from, static_cast<size_t>(bytes));
  }
}

int64_t part_bytes(const std::vector<int64_t>& offset_R1, size_t r) { return offset_R1[r + 1] - offset_R1[r]; }

std::optional<error> differing_sizes(const std::string& name, const call& a, const call& b, int64_t a_bytes,
                                     int64_t b_bytes) {
  if (a_bytes == b_bytes) {
    return std::nullopt;
  }
  return error(errc::shape_mismatch, "{} {} of '{}': rank {} has {} bytes where rank {} has {}", to_string(a.kind),
               a.number, name, a.rank, a_bytes, b.rank, b_bytes);
}

error differing_labels(const std::string& name, const call& a, const call& b) {
  return error(
      errc::bad_argument,
      "{} {} of '{}' is for \"{}\" on rank {} and for \"{}\" on rank {}: every rank must call the same operations "
      "in the same order",
      to_string(a.kind), a.number, name, a.label, a.rank, b.label, b.rank);
}

/// What two ranks' calls of one collective contradict each other in.
std::optional<error> disagreement(const std::string& name, const call& a, const call& b) {
  if (a.kind != b.kind || (a.kind == operation_kind::broadcast && a.peer != b.peer)) {
    return error(
        errc::bad_argument,
        "operation {} of '{}' is {} (root {}) on rank {} and {} (root {}) on rank {}: every rank must call the "
        "same operations in the same order",
        a.number, name, to_string(a.kind), a.peer, a.rank, to_string(b.kind), b.peer, b.rank);
  }
  if (a.label != b.label) {
    return differing_labels(name, a, b);
  }
  const auto a_rank = static_cast<size_t>(a.rank);
  const auto b_rank = static_cast<size_t>(b.rank);
  switch (a.kind) {
  case operation_kind::reduce_scatter:
  case operation_kind::all_gather: {
    const bool reduces = a.kind == operation_kind::reduce_scatter;
    for (size_t r = 0; r + 1 < (reduces ? a.from_offset_R1 : a.to_offset_R1).size(); ++r) {
      const auto& of_a = reduces ? a.from_offset_R1 : a.to_offset_R1;
      const auto& of_b = reduces ? b.from_offset_R1 : b.to_offset_R1;
      if (auto found = differing_sizes(name, a, b, part_bytes(of_a, r), part_bytes(of_b, r))) {
        return found;
      }
    }
    return std::nullopt;
  }
  case operation_kind::all_to_all: {
    auto there = differing_sizes(name, a, b, part_bytes(a.from_offset_R1, b_rank), part_bytes(b.to_offset_R1, a_rank));
    return there
               ? there
               : differing_sizes(name, a, b, part_bytes(a.to_offset_R1, b_rank), part_bytes(b.from_offset_R1, a_rank));
  }
  case operation_kind::broadcast:
  case operation_kind::send:
  case operation_kind::receive:
    break;
  }
  return differing_sizes(name, a, b, a.bytes, b.bytes);
}

void reduce_scatter_all(const std::vector<call>& calls) {
  std::vector<const float*> pieces_R(calls.size());
  for (size_t r = 0; r < calls.size(); ++r) {
    for (size_t s = 0; s < calls.size(); ++s) {
      pieces_R[s] = reinterpret_cast<const float*>(calls[s].from + calls[s].from_offset_R1[r]);
    }
    const int64_t count = calls[r].bytes / static_cast<int64_t>(sizeof(float));
    kernels::join_pieces(pieces_R, count, reinterpret_cast<float*>(calls[r].to));
  }
}

void copy_all(const std::vector<call>& calls) {
  for (size_t r = 0; r < calls.size(); ++r) {
    for (size_t s = 0; s < calls.size(); ++s) {
      const call& source = calls[s];
      const call& target = calls[r];
      if (source.kind == operation_kind::all_to_all) {
        copy_bytes(target.to + target.to_offset_R1[s], source.from + source.from_offset_R1[r],
                   part_bytes(source.from_offset_R1, r));
      } else {
        copy_bytes(target.to + target.to_offset_R1[s], source.to + source.to_offset_R1[s],
                   part_bytes(source.to_offset_R1, s));
      }
    }
  }
}

void carry_out(const std::vector<call>& calls) {
  switch (calls.front().kind) {
  case operation_kind::reduce_scatter:
    reduce_scatter_all(calls);
    break;
  case operation_kind::all_gather:
  case operation_kind::all_to_all:
    copy_all(calls);
    break;
  case operation_kind::broadcast:
    for (const call& target : calls) {
      copy_bytes(target.to, calls[static_cast<size_t>(target.peer)].to, target.bytes);
    }
    break;
  case operation_kind::send:
  case operation_kind::receive:
    copy_bytes(calls[1].to, calls[0].from, calls[0].bytes);
    break;
  }
}

/// What the ranks of one communicator share.
class local_group {
public:
  local_group(std::string name, int ranks, std::chrono::milliseconds deadline)
      : name_(std::move(name)), ranks_(ranks), deadline_(deadline) {}

  const std::string& name() const { return name_; }

  meeting_ptr join(call made) {
    std::unique_lock lock(mutex_);
    meeting_ptr at = made.collective() ? collective(made) : point_to_point(made);
    const size_t slot = slot_of(made);
    at->calls[slot] = std::move(made);
    ++at->arrived;
    if (at->arrived < at->calls.size() || at->done) {
      return at;
    }
    at->failure = contradiction(*at);
    if (!at->failure) {
      at->working = true;
      lock.unlock();
      carry_out(at->calls);
      lock.lock();
    }
    at->done = true;
    changed_.notify_all();
    return at;
  }

  void wait(meeting& at, const std::string& who, std::chrono::milliseconds own_deadline) {
    const auto deadline = own_deadline.count() > 0 ? own_deadline : deadline_;
    std::unique_lock lock(mutex_);
    const bool in_time = changed_.wait_for(lock, deadline, [&] { return at.done || at.working; });
    changed_.wait(lock, [&] { return at.done || !in_time; });
    if (!at.done) {
      at.failure = error(errc::lost_peer, "{}: no answer within {} ms, missing {}", who, deadline.count(), missing(at));
      at.done = true;
      changed_.notify_all();
    }
    if (at.failure) {
      throw error(at.failure->code(), std::string(at.failure->what()));  // of its own: copies share their text
    }
  }

private:
  using route = std::tuple<int, int, int>;  // from, to, tag

  static size_t slot_of(const call& made) {
    return made.collective() ? static_cast<size_t>(made.rank) : made.kind == operation_kind::send ? 0 : 1;
  }

  /// Meetings stay known until all have come, so that a rank that is too late learns that it is.
  meeting_ptr collective(const call& made) {
    meeting_ptr& at = collectives_[made.number];
    if (!at) {
      at = std::make_shared<meeting>();
      at->calls.resize(static_cast<size_t>(ranks_));
    }
    meeting_ptr found = at;
    if (found->arrived + 1 == found->calls.size()) {
      collectives_.erase(made.number);
    }
    return found;
  }

  /// All that wait on one route are sends, or all are receives: the first of them is the partner of a call of the
  /// other.
  meeting_ptr point_to_point(const call& made) {
    const bool sends = made.kind == operation_kind::send;
    const int from = sends ? made.rank : made.peer;
    const int to = sends ? made.peer : made.rank;
    std::deque<meeting_ptr>& waiting = routes_[{from, to, made.tag}];
    if (waiting.empty() || waiting.front()->calls[slot_of(made)].rank >= 0) {
      waiting.push_back(std::make_shared<meeting>());
      waiting.back()->calls.resize(2);
      return waiting.back();
    }
    meeting_ptr found = waiting.front();
    waiting.pop_front();
    return found;
  }

  std::optional<error> contradiction(const meeting& at) const {
    const call& first = at.calls.front();
    if (!first.collective()) {
      if (first.label != at.calls[1].label) {
        return differing_labels(name_, first, at.calls[1]);
      }
      return differing_sizes(name_, at.calls[0], at.calls[1], at.calls[0].bytes, at.calls[1].bytes);
    }
    for (size_t a = 0; a < at.calls.size(); ++a) {
      for (size_t b = a + 1; b < at.calls.size(); ++b) {
        if (auto found = disagreement(name_, at.calls[a], at.calls[b])) {
          return found;
        }
      }
    }
    return std::nullopt;
  }

  static std::string missing(const meeting& at) {
    const bool collective = at.calls.front().rank >= 0 ? at.calls.front().collective() : at.calls.back().collective();
    if (!collective) {
      return at.calls[0].rank < 0 ? "the send" : "the receive";
    }
    std::string ranks;
    for (size_t r = 0; r < at.calls.size(); ++r) {
      if (at.calls[r].rank < 0) {
        ranks += fmt::format("{}{}", ranks.empty() ? "rank " : ", ", r);
      }
    }
    return ranks;
  }

  std::string name_;
  int ranks_;
  std::chrono::milliseconds deadline_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int64_t, meeting_ptr> collectives_;
  std::map<route, std::deque<meeting_ptr>> routes_;
};

class local_operation final : public pending::operation {
public:
  local_operation(std::shared_ptr<local_group> group, meeting_ptr at, std::string who,
                  std::chrono::milliseconds deadline)
      : group_(std::move(group)), at_(std::move(at)), who_(std::move(who)), deadline_(deadline) {}
  void wait() override { group_->wait(*at_, who_, deadline_); }

private:
  std::shared_ptr<local_group> group_;
  meeting_ptr at_;
  std::string who_;
  std::chrono::milliseconds deadline_;
};

class local_communicator final : public checked_communicator {
public:
  local_communicator(std::shared_ptr<local_group> group, int rank, int ranks)
      : checked_communicator(group->name(), rank, ranks), group_(std::move(group)) {}

private:
  std::unique_ptr<pending::operation> start(call made) override {
    std::string who = describe(made);
    const auto deadline = made.deadline;
    return std::make_unique<local_operation>(group_, group_->join(std::move(made)), std::move(who), deadline);
  }

  std::shared_ptr<local_group> group_;
};

/// What the ranks have opened, in order: each the groups that they are divided into, by their members.
struct local_groups {
  using division = std::map<std::vector<int>, std::shared_ptr<local_group>>;
  std::mutex mutex;
  std::vector<division> opened;
};

/// Whether the two have a member in common.
bool overlap(const std::vector<int>& a, const std::vector<int>& b) {
  return std::any_of(a.begin(), a.end(), [&](int rank) { return std::find(b.begin(), b.end(), rank) != b.end(); });
}

class local_world final : public world {
public:
  local_world(std::shared_ptr<local_groups> groups, int rank, int ranks, std::chrono::milliseconds deadline)
      : groups_(std::move(groups)), rank_(rank), ranks_(ranks), deadline_(deadline) {}

  int rank() const override { return rank_; }
  int size() const override { return ranks_; }

  communicator_ptr open(const std::string& name) override {
    std::vector<int> everyone(static_cast<size_t>(ranks_));
    std::iota(everyone.begin(), everyone.end(), 0);
    return open(name, everyone);
  }

  communicator_ptr open(const std::string& name, std::span<const int> members) override {
    const int place = place_among(name, members, rank_, ranks_);
    const std::lock_guard lock(groups_->mutex);
    const size_t number = opened_++;
    if (number == groups_->opened.size()) {
      groups_->opened.emplace_back();
    }
    if (place < 0) {
      return nullptr;
    }
    const std::vector<int> wanted(members.begin(), members.end());
    local_groups::division& division = groups_->opened[number];
    check(division, number, name, wanted);
    std::shared_ptr<local_group>& group = division[wanted];
    if (!group) {
      group = std::make_shared<local_group>(name, static_cast<int>(wanted.size()), deadline_);
    }
    return std::make_shared<local_communicator>(group, place, static_cast<int>(wanted.size()));
  }

private:
  void check(const local_groups::division& division, size_t number, const std::string& name,
             const std::vector<int>& wanted) const {
    for (const auto& [members, group] : division) {
      if (group->name() != name) {
        throw error(errc::bad_argument,
                    "communicator {} is '{}' on rank {} and '{}' on another: all must open the same in the same order",
                    number, name, rank_, group->name());
      }
      if (members != wanted && overlap(members, wanted)) {
        throw error(errc::bad_argument, "opening '{}' on rank {}: its group is of ranks {}, another's of {}", name,
                    rank_, fmt::join(wanted, ", "), fmt::join(members, ", "));
      }
    }
  }

  std::shared_ptr<local_groups> groups_;
  int rank_, ranks_;
  std::chrono::milliseconds deadline_;
  size_t opened_ = 0;
};

}  // namespace

std::vector<std::unique_ptr<world>> local_worlds(int ranks, std::chrono::milliseconds deadline) {
  if (ranks < 1) {
    throw error(errc::bad_argument, "{} ranks: a program has at least one", ranks);
  }
  const auto groups = std::make_shared<local_groups>();
  std::vector<std::unique_ptr<world>> worlds;
  worlds.reserve(static_cast<size_t>(ranks));
  for (int r = 0; r < ranks; ++r) {
    worlds.push_back(std::make_unique<local_world>(groups, r, ranks, deadline));
  }
  return worlds;
}

}  // namespace troupe::engine
