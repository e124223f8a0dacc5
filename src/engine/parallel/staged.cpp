#include "engine/parallel/staged.hpp"

#include "base/error.hpp"
#include "base/round_up.hpp"
#include "engine/parallel/best_fit.hpp"

#include <algorithm>
#include <mutex>

namespace troupe::engine {

namespace {

/// Host memory of one operation.
struct room {
  std::unique_ptr<pinned_memory> memory;
  mark copied = 0;  ///< by when the last copy out of it is done
};

/// Of a communicator's operations.
class rooms {
public:
  explicit rooms(device& on) : on_(on) {}
  rooms(const rooms&) = delete;
  rooms& operator=(const rooms&) = delete;
  ~rooms() {
    for (const room& one : free_) {
      try {
        on_.finish(one.copied);
      } catch (const error&) {  // of a card that has failed: nothing reads it any more
      }
    }
  }

  device& on() const { return on_; }

  room take(int64_t bytes) {
    room taken = take_free(bytes);
    on_.finish(taken.copied);
    if (taken.memory == nullptr || taken.memory->bytes() < bytes) {
      taken.memory.reset();
      taken.memory = on_.pin(std::max<int64_t>(bytes, 1));
    }
    return taken;
  }

  void give_back(room used) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(used));
  }

private:
  room take_free(int64_t bytes) {
    const std::lock_guard lock(mutex_);
    return take_best_fit(free_, bytes, [](const room& one) { return one.memory->bytes(); }).value_or(room());
  }

  device& on_;
  std::mutex mutex_;
  std::vector<room> free_;
};

/// An operation's memory, and what of it goes up at the end.
class stage {
public:
  stage(std::shared_ptr<rooms> from, int64_t bytes) : rooms_(std::move(from)), room_(rooms_->take(bytes)) {}
  stage(stage&&) = default;
  stage& operator=(stage&&) = delete;
  ~stage() {
    if (room_.memory != nullptr) {
      rooms_->give_back(std::move(room_));
    }
  }

  std::byte* data() { return room_.memory->data(); }

  /// Bytes [first, last) of `from`, to the same place here.
  void down(const void* from, int64_t first, int64_t last) {
    if (first < last) {
      device& on = rooms_->on();
      on.copy(queue::compute, data() + first, static_cast<const std::byte*>(from) + first, last - first);
      on.finish(on.record(queue::compute));
    }
  }

  /// Bytes [first, last) of what stands here, at the end.
  void up_at_the_end(void* to, int64_t first, int64_t last) {
    if (first < last) {
      ups_.push_back({static_cast<std::byte*>(to), first, last - first});
    }
  }

  void go_up() {
    device& on = rooms_->on();
    for (const up& one : ups_) {
      on.copy(queue::compute, one.to, data() + one.at, one.bytes);
    }
    if (!ups_.empty()) {
      room_.copied = on.record(queue::compute);
    }
    ups_.clear();
  }

private:
  struct up {
    std::byte* to;
    int64_t at, bytes;
  };

  std::shared_ptr<rooms> rooms_;
  room room_;
  std::vector<up> ups_;
};

class staged_operation final : public pending::operation {
public:
  staged_operation(stage holds, pending carried) : stage_(std::move(holds)), carried_(std::move(carried)) {}
  void wait() override {
    carried_.wait();
    stage_.go_up();
  }

private:
  stage stage_;
  pending carried_;  ///< last: it ends before its memory does
};

/// A rank's part of what offsets divide, in bytes. Nothing where they do not fit: the carrier refuses them.
struct extent {
  int64_t first = 0, last = 0;
};

extent bytes_between(std::span<const int64_t> offset_R1, size_t from, size_t to, int64_t size, int64_t width) {
  const bool fits = to < offset_R1.size() && std::is_sorted(offset_R1.begin(), offset_R1.end()) &&
                    offset_R1.front() >= 0 && offset_R1.back() <= size;
  return fits ? extent{offset_R1[from] * width, offset_R1[to] * width} : extent{};
}

class staged_communicator final : public communicator {
public:
  staged_communicator(communicator_ptr by, device& on) : by_(std::move(by)), rooms_(std::make_shared<rooms>(on)) {}

  int rank() const override { return by_->rank(); }
  int size() const override { return by_->size(); }
  traffic sent() const override { return by_->sent(); }

  pending reduce_scatter(std::span<const float> whole, std::span<const int64_t> offset_R1, std::span<float> part,
                         const operation_options& options) override {
    const auto size = static_cast<int64_t>(whole.size());
    const extent all = bytes_between(offset_R1, 0, ranks(), size, sizeof(float));
    const extent own = bytes_between(offset_R1, own_rank(), own_rank() + 1, size, sizeof(float));
    stage at(rooms_, static_cast<int64_t>(whole.size_bytes()));
    at.down(whole.data(), all.first, all.last);
    at.up_at_the_end(part.data(), own.first, own.last);
    auto* const values = reinterpret_cast<float*>(at.data());
    auto* const sum = reinterpret_cast<float*>(at.data() + own.first);
    pending carried = by_->reduce_scatter({values, whole.size()}, offset_R1, {sum, part.size()}, options);
    return made(std::move(at), std::move(carried));
  }

  pending all_gather(reals whole, int64_t size, std::span<const int64_t> offset_R1,
                     const operation_options& options) override {
    const int64_t width = size_of(whole.type());
    const extent all = bytes_between(offset_R1, 0, ranks(), size, width);
    const extent own = bytes_between(offset_R1, own_rank(), own_rank() + 1, size, width);
    stage at(rooms_, size * width);
    at.down(whole.data(), own.first, own.last);
    auto* const bytes = static_cast<std::byte*>(whole.data());
    at.up_at_the_end(bytes + all.first, all.first, own.first);
    at.up_at_the_end(bytes + own.last, own.last, all.last);
    pending carried = by_->all_gather(reals(at.data(), whole.type()), size, offset_R1, options);
    return made(std::move(at), std::move(carried));
  }

  pending all_to_all(std::span<const std::byte> send, std::span<const int64_t> send_offset_R1,
                     std::span<std::byte> receive, std::span<const int64_t> receive_offset_R1,
                     const operation_options& options) override {
    const extent given = bytes_between(send_offset_R1, 0, ranks(), static_cast<int64_t>(send.size()), 1);
    const extent got = bytes_between(receive_offset_R1, 0, ranks(), static_cast<int64_t>(receive.size()), 1);
    const auto behind = static_cast<int64_t>(send.size());
    stage at(rooms_, behind + static_cast<int64_t>(receive.size()));
    at.down(send.data(), given.first, given.last);
    at.up_at_the_end(receive.data() + got.first, behind + got.first, behind + got.last);
    pending carried = by_->all_to_all({at.data(), send.size()}, send_offset_R1, {at.data() + behind, receive.size()},
                                      receive_offset_R1, options);
    return made(std::move(at), std::move(carried));
  }

  pending broadcast(std::span<std::byte> data, int root, const operation_options& options) override {
    const auto bytes = static_cast<int64_t>(data.size());
    stage at(rooms_, bytes);
    if (root == rank()) {
      at.down(data.data(), 0, bytes);
    } else {
      at.up_at_the_end(data.data(), 0, bytes);
    }
    pending carried = by_->broadcast({at.data(), data.size()}, root, options);
    return made(std::move(at), std::move(carried));
  }

  pending send(std::span<const std::byte> data, int to, int tag, const operation_options& options) override {
    const auto bytes = static_cast<int64_t>(data.size());
    stage at(rooms_, bytes);
    at.down(data.data(), 0, bytes);
    pending carried = by_->send({at.data(), data.size()}, to, tag, options);
    return made(std::move(at), std::move(carried));
  }

  pending receive(std::span<std::byte> data, int from, int tag, const operation_options& options) override {
    const auto bytes = static_cast<int64_t>(data.size());
    stage at(rooms_, bytes);
    at.up_at_the_end(data.data(), 0, bytes);
    pending carried = by_->receive({at.data(), data.size()}, from, tag, options);
    return made(std::move(at), std::move(carried));
  }

private:
  size_t ranks() const { return static_cast<size_t>(by_->size()); }
  size_t own_rank() const { return static_cast<size_t>(by_->rank()); }

  static pending made(stage holds, pending carried) {
    return pending(std::make_unique<staged_operation>(std::move(holds), std::move(carried)));
  }

  communicator_ptr by_;
  std::shared_ptr<rooms> rooms_;
};

}  // namespace

communicator_ptr staged(communicator_ptr by, device* on) {
  if (by == nullptr || on == nullptr) {
    return by;
  }
  return std::make_shared<staged_communicator>(std::move(by), *on);
}

}  // namespace troupe::engine
