#include "support/emulation/fake_wire.hpp"

#include "base/error.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <utility>
#include <vector>

namespace troupe::emulation {

namespace {

using bytes = std::vector<std::byte>;

}  // namespace

/// What the ends of one wire share.
class wire_meeting {
public:
  wire_meeting(int ranks, wire_fault planted, int rank, int64_t number)
      : planted_(planted), planted_rank_(rank), planted_number_(number), state_R_(static_cast<size_t>(ranks)) {}

  int ranks() const { return static_cast<int>(state_R_.size()); }

  void join(int rank, const std::string& name, std::chrono::milliseconds deadline) {
    std::unique_lock lock(mutex_);
    state_of(rank).joined = true;
    changed_.notify_all();
    const auto all = [&] {
      return std::all_of(state_R_.begin(), state_R_.end(), [](const state& one) { return one.joined; });
    };
    if (!changed_.wait_for(lock, deadline, all)) {
      throw error(errc::lost_peer, "joining '{}' on rank {} of {}: not all ranks came within {} ms", name, rank,
                  ranks(), deadline.count());
    }
  }

  /// A message that nobody waits for.
  void send(int from, int to, bytes what) {
    const std::lock_guard lock(mutex_);
    mail_[{from, to}].push_back(std::move(what));
    changed_.notify_all();
  }

  /// The next message; nothing: it will not come, and work has to end. Before that a failure waits for the end.
  std::unique_ptr<bytes> receive(int from, int to, int64_t size) {
    std::unique_lock lock(mutex_);
    std::deque<bytes>& box = mail_[{from, to}];
    changed_.wait(lock, [&] { return !box.empty() || state_of(from).gone || state_of(to).closed; });
    if (!box.empty() && static_cast<int64_t>(box.front().size()) == size) {
      auto first = std::make_unique<bytes>(std::move(box.front()));
      box.pop_front();
      return first;
    }
    if (!state_of(to).closed) {
      state_of(to).failure =
          box.empty() ? fmt::format("rank {} has gone", from)
                      : fmt::format("rank {} sends {} bytes, rank {} receives {}", from, box.front().size(), to, size);
      stand_still(lock, to);
    }
    return nullptr;
  }

  /// Returns when the rank's call may.
  void call(int rank) {
    std::unique_lock lock(mutex_);
    if (rank == planted_rank_ && planted_ == wire_fault::call && state_of(rank).calls++ >= planted_number_) {
      stand_still(lock, rank);
      throw error(errc::lost_peer, "it is aborted");
    }
  }

  /// Whether an operation may go on; else it stands still until the rank's end closes.
  bool begin(int rank) {
    std::unique_lock lock(mutex_);
    if (rank != planted_rank_ || state_of(rank).operations++ < planted_number_) {
      return !state_of(rank).closed;
    }
    if (planted_ == wire_fault::none || planted_ == wire_fault::call) {
      return true;
    }
    if (planted_ == wire_fault::error) {
      state_of(rank).failure = "a link has failed";
    } else if (planted_ == wire_fault::lost) {
      state_of(rank).gone = true;
      changed_.notify_all();
    }
    stand_still(lock, rank);
    return false;
  }

  std::string failure(int rank) {
    const std::lock_guard lock(mutex_);
    return state_of(rank).failure;
  }

  void close(int rank) {
    const std::lock_guard lock(mutex_);
    state_of(rank).closed = state_of(rank).gone = true;
    changed_.notify_all();
  }

private:
  struct state {
    bool joined = false;
    bool gone = false;    ///< nothing more comes from it
    bool closed = false;  ///< its own end has ended
    std::string failure;
    int64_t calls = 0, operations = 0;
  };

  state& state_of(int rank) { return state_R_.at(static_cast<size_t>(rank)); }
  void stand_still(std::unique_lock<std::mutex>& lock, int rank) {
    changed_.wait(lock, [&] { return state_of(rank).closed; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  wire_fault planted_;
  int planted_rank_;
  int64_t planted_number_;
  std::vector<state> state_R_;
  std::map<std::pair<int, int>, std::deque<bytes>> mail_;  ///< by sender and receiver
};

namespace {

class fake_wire final : public wire {
public:
  fake_wire(std::shared_ptr<wire_meeting> at, int rank, wire_place where)
      : at_(std::move(at)), rank_(rank), where_(std::move(where)) {}
  ~fake_wire() override { at_->close(rank_); }
  fake_wire(const fake_wire&) = delete;
  fake_wire& operator=(const fake_wire&) = delete;

  void exchange(std::span<const message> sends, std::span<const message> receives) override {
    at_->call(rank_);
    where_.enqueue([at = at_, rank = rank_, open = where_.open, out = std::vector(sends.begin(), sends.end()),
                    in = std::vector(receives.begin(), receives.end())] {
      if (!at->begin(rank)) {
        return;
      }
      for (const message& one : out) {
        bytes copied(static_cast<size_t>(one.bytes));
        open([&] { std::memcpy(copied.data(), one.at, copied.size()); });
        at->send(rank, one.peer, std::move(copied));
      }
      for (const message& one : in) {
        const auto came = at->receive(one.peer, rank, one.bytes);
        if (came == nullptr) {
          return;
        }
        open([&] { std::memcpy(one.at, came->data(), came->size()); });
      }
    });
  }

  void all_gather(std::byte* whole, std::span<const int64_t> offset_R1) override {
    std::vector<message> sends, receives;
    const auto part = [&](int r) {
      const auto i = static_cast<size_t>(r);
      return message{.peer = r, .at = whole + offset_R1[i], .bytes = offset_R1[i + 1] - offset_R1[i]};
    };
    for (int r = 0; r < at_->ranks(); ++r) {
      if (r != rank_) {
        sends.push_back(part(rank_));
        sends.back().peer = r;
        receives.push_back(part(r));
      }
    }
    exchange(sends, receives);
  }

  void broadcast(std::byte* data, int64_t count, int root) override {
    std::vector<message> sends, receives;
    for (int r = 0; r < at_->ranks() && rank_ == root; ++r) {
      if (r != root) {
        sends.push_back({.peer = r, .at = data, .bytes = count});
      }
    }
    if (rank_ != root) {
      receives.push_back({.peer = root, .at = data, .bytes = count});
    }
    exchange(sends, receives);
  }

  std::string failure() override { return at_->failure(rank_); }
  void abort() override { at_->close(rank_); }

private:
  std::shared_ptr<wire_meeting> at_;
  int rank_;
  wire_place where_;
};

}  // namespace

void wire_network::plant(wire_fault what, int rank, int64_t number) {
  const std::lock_guard lock(mutex_);
  planted_ = what;
  rank_ = rank;
  number_ = number;
}

void wire_network::refuse(int rank) {
  const std::lock_guard lock(mutex_);
  refused_ = rank;
}

wire_id new_fake_wire_id() {
  static std::atomic<int64_t> last = 0;
  const int64_t words[] = {::getpid(), ++last};
  const auto all = std::as_bytes(std::span(words));
  return {all.begin(), all.end()};
}

std::unique_ptr<wire> wire_network::join(const wire_id& id, int rank, int ranks, const std::string& name,
                                         std::chrono::milliseconds deadline, wire_place where) {
  std::shared_ptr<wire_meeting> at;
  {
    const std::lock_guard lock(mutex_);
    if (rank == refused_) {
      throw error(errc::device_failure, "emulated card: it does not join '{}'", name);
    }
    std::weak_ptr<wire_meeting>& known = meetings_[id];
    at = known.lock();
    if (at == nullptr) {
      at = std::make_shared<wire_meeting>(ranks, planted_, rank_, number_);
      known = at;
    }
  }
  at->join(rank, name, deadline);
  return std::make_unique<fake_wire>(std::move(at), rank, std::move(where));
}

}  // namespace troupe::emulation
