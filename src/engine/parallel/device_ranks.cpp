#include "engine/parallel/device_ranks.hpp"

#include "base/context.hpp"
#include "kernels/join.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace troupe::engine {

namespace {

class wire_wait : public pending::operation {
public:
  wire_wait(card_wires& over, wire_operation_ptr what) : over_(over), what_(std::move(what)) {}
  void wait() override { over_.await(*what_); }

protected:
  card_wires& over_;

private:
  wire_operation_ptr what_;
};

/// The pieces of this rank's part, of which the others' arrive in `room`.
class joining_wait final : public wire_wait {
public:
  joining_wait(card_wires& over, wire_operation_ptr what, arriving_room::piece room, std::vector<const float*> pieces_R,
               int64_t count, float* sum)
      : wire_wait(over, std::move(what)), room_(room), pieces_R_(std::move(pieces_R)), count_(count), sum_(sum) {}
  ~joining_wait() override {
    if (room_.at != nullptr) {
      over_.give_back(room_);
    }
  }
  joining_wait(const joining_wait&) = delete;
  joining_wait& operator=(const joining_wait&) = delete;

  void wait() override {
    wire_wait::wait();
    thread_pool none(1);  // which a card does not use
    context ctx{none, &over_.on()};
    kernels::join_pieces(ctx, pieces_R_, count_, sum_);
  }

private:
  arriving_room::piece room_;
  std::vector<const float*> pieces_R_;
  int64_t count_;
  float* sum_;
};

class wire_communicator final : public checked_communicator {
public:
  wire_communicator(const checked_communicator& by, std::shared_ptr<wire> through, card_wires& over)
      : checked_communicator(by), by_(std::move(through)), over_(over) {}

  void make_room(std::span<const std::span<const int64_t>> offset_R1) override {
    std::vector<int64_t> bytes;
    for (const std::span<const int64_t> each : offset_R1) {
      const auto own = static_cast<size_t>(rank());
      if (const int64_t part = (each[own + 1] - each[own]) * static_cast<int64_t>(sizeof(float));
          part > 0 && size() > 1) {
        bytes.push_back(part * (size() - 1));
      }
    }
    over_.make_room(bytes);
  }

private:
  using messages = std::vector<wire::message>;

  std::unique_ptr<pending::operation> start(call made) override {
    switch (made.kind) {
    case operation_kind::reduce_scatter:
      return reduce(made);
    case operation_kind::all_gather:
      return carry(made, [&](wire& by) { by.all_gather(made.to, made.to_offset_R1); });
    case operation_kind::all_to_all:
      return carry(made, [&](wire& by) { exchange(made, by); });
    case operation_kind::broadcast:
      return carry(made, [&](wire& by) {
        if (made.bytes > 0) {
          by.broadcast(made.to, made.bytes, made.peer);
        }
      });
    case operation_kind::send:
    case operation_kind::receive:
      break;
    }
    return post(made);
  }

  wire_operation_ptr operation(call& made) const {
    auto one = std::make_shared<wire_operation>();
    one->who = describe(made);
    one->deadline = made.deadline.count() > 0 ? made.deadline : over_.deadline();
    one->by = by_;
    one->under_way = std::move(made.under_way);
    return one;
  }

  template <class Calls> std::unique_ptr<pending::operation> carry(call& made, const Calls& calls) {
    const wire_operation_ptr one = operation(made);
    over_.call(one, calls);
    return std::make_unique<wire_wait>(over_, one);
  }

  /// What goes to the others, or comes from them, where `at` of rank r has its bytes.
  template <class At> messages to_others(const std::vector<int64_t>& offset_R1, const At& at) const {
    messages all;
    for (int r = 0; r < size(); ++r) {
      const auto i = static_cast<size_t>(r);
      if (const int64_t bytes = offset_R1[i + 1] - offset_R1[i]; bytes > 0 && r != rank()) {
        all.push_back({.peer = r, .at = at(i), .bytes = bytes});
      }
    }
    return all;
  }

  static std::byte* bytes_of(const std::byte* sent) { return const_cast<std::byte*>(sent); }  // nobody writes it

  void exchange(const call& made, wire& by) {
    const auto own = static_cast<size_t>(rank());
    if (const int64_t bytes = made.from_offset_R1[own + 1] - made.from_offset_R1[own]; bytes > 0) {
      over_.on().copy(queue::wire, made.to + made.to_offset_R1[own], made.from + made.from_offset_R1[own], bytes);
    }
    by.exchange(to_others(made.from_offset_R1, [&](size_t r) { return bytes_of(made.from + made.from_offset_R1[r]); }),
                to_others(made.to_offset_R1, [&](size_t r) { return made.to + made.to_offset_R1[r]; }));
  }

  std::unique_ptr<pending::operation> reduce(call& made) {
    const auto own = static_cast<size_t>(rank());
    const int64_t others = made.bytes * (size() - 1);  // as make_room has them
    const arriving_room::piece room = others > 0 ? over_.take(others) : arriving_room::piece{};
    std::vector<const float*> pieces_R(static_cast<size_t>(size()));
    messages receives;
    std::byte* next = room.at;
    for (size_t r = 0; r < pieces_R.size(); ++r) {
      if (r == own) {
        pieces_R[r] = reinterpret_cast<const float*>(made.from + made.from_offset_R1[r]);
        continue;
      }
      pieces_R[r] = reinterpret_cast<const float*>(next);
      if (made.bytes > 0) {
        receives.push_back({.peer = static_cast<int>(r), .at = next, .bytes = made.bytes});
        next += made.bytes;
      }
    }
    const wire_operation_ptr one = operation(made);
    auto joining = std::make_unique<joining_wait>(over_, one, room, std::move(pieces_R), made.bytes / made.width,
                                                  reinterpret_cast<float*>(made.to));
    over_.call(one, [&](wire& by) {
      by.exchange(
          to_others(made.from_offset_R1, [&](size_t r) { return bytes_of(made.from + made.from_offset_R1[r]); }),
          receives);
    });
    return joining;
  }

  std::unique_ptr<pending::operation> post(call& made) {
    const bool sends = made.kind == operation_kind::send;
    const wire_operation_ptr one = operation(made);
    over_.post({.what = one,
                .group = this,
                .tag = made.tag,
                .sends = sends,
                .message = {.peer = made.peer, .at = sends ? bytes_of(made.from) : made.to, .bytes = made.bytes}});
    return std::make_unique<wire_wait>(over_, one);
  }

  std::shared_ptr<wire> by_;
  card_wires& over_;
};

}  // namespace

communicator_ptr device_ranks(const checked_communicator& by, std::shared_ptr<wire> through, card_wires& over) {
  return std::make_shared<wire_communicator>(by, std::move(through), over);
}

}  // namespace troupe::engine
