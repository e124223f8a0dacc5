#include "engine/parallel/checked.hpp"

#include "base/error.hpp"
#include "base/pulse.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace troupe::engine {

namespace {

constexpr int largest_tag = 32767;  // what every MPI has

std::vector<int64_t> in_bytes(std::span<const int64_t> offset_R1, int64_t width) {
  std::vector<int64_t> bytes_R1(offset_R1.begin(), offset_R1.end());
  for (int64_t& offset : bytes_R1) {
    offset *= width;
  }
  return bytes_R1;
}

int64_t part_size(std::span<const int64_t> offset_R1, int rank) {
  const auto r = static_cast<size_t>(rank);
  return offset_R1[r + 1] - offset_R1[r];
}

constexpr auto float_bytes = static_cast<int64_t>(sizeof(float));

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

const char* to_string(operation_kind kind) {
  switch (kind) {
  case operation_kind::reduce_scatter:
    return "reduce_scatter";
  case operation_kind::all_gather:
    return "all_gather";
  case operation_kind::all_to_all:
    return "all_to_all";
  case operation_kind::broadcast:
    return "broadcast";
  case operation_kind::send:
    return "send";
  case operation_kind::receive:
    return "receive";
  }
  return "operation";
}

int place_among(const std::string& name, std::span<const int> members, int rank, int ranks) {
  for (size_t i = 0; i < members.size(); ++i) {
    const bool repeated = std::find(members.begin(), members.begin() + static_cast<ptrdiff_t>(i), members[i]) !=
                          members.begin() + static_cast<ptrdiff_t>(i);
    if (members[i] < 0 || members[i] >= ranks || repeated) {
      throw error(errc::bad_argument, "opening '{}': member {} of the group is rank {}, {}", name, i, members[i],
                  repeated ? "for the second time" : fmt::format("ranks are 0 to {}", ranks - 1));
    }
  }
  const auto found = std::find(members.begin(), members.end(), rank);
  if (found == members.end() && !members.empty()) {
    throw error(errc::bad_argument, "opening '{}': rank {} is not among the {} members of its group", name, rank,
                members.size());
  }
  return members.empty() ? -1 : static_cast<int>(found - members.begin());
}

/// Adds the time that its caller stood waiting to the communicator's count.
class checked_communicator::timed final : public pending::operation {
public:
  timed(std::unique_ptr<pending::operation> inner, std::shared_ptr<counter> count)
      : inner_(std::move(inner)), counter_(std::move(count)) {}

  void wait() override {
    const waiting_scope waits;
    const auto begin = std::chrono::steady_clock::now();
    inner_->wait();
    const double waited = seconds_since(begin);
    const std::lock_guard lock(counter_->mutex);
    counter_->counted.waited_s += waited;
  }

private:
  std::unique_ptr<pending::operation> inner_;
  std::shared_ptr<counter> counter_;
};

/// Of an operation among those under way. Times when there is none do not count, nor does any time twice.
class checked_communicator::presence {
public:
  explicit presence(std::shared_ptr<counter> count) : counter_(std::move(count)) {
    const std::lock_guard lock(counter_->mutex);
    if (counter_->under_way++ == 0) {
      counter_->busy_since = std::chrono::steady_clock::now();
    }
  }
  ~presence() {
    const std::lock_guard lock(counter_->mutex);
    if (--counter_->under_way == 0) {
      counter_->counted.under_way_s += seconds_since(counter_->busy_since);
    }
  }
  presence(const presence&) = delete;
  presence& operator=(const presence&) = delete;

private:
  std::shared_ptr<counter> counter_;
};

checked_communicator::checked_communicator(std::string name, int rank, int size)
    : name_(std::move(name)), rank_(rank), size_(size), counter_(std::make_shared<counter>()) {}

checked_communicator::checked_communicator(const checked_communicator& beside)
    : name_(beside.name_), rank_(beside.rank_), size_(beside.size_), counter_(beside.counter_) {}

std::string checked_communicator::describe(const call& made) const {
  std::string where = fmt::format("{} {}{} of '{}' on rank {} of {}", to_string(made.kind), made.number,
                                  made.label.empty() ? "" : fmt::format(" ({})", made.label), name_, rank_, size_);
  if (!made.collective()) {
    where += fmt::format(" (peer {}, tag {})", made.peer, made.tag);
  }
  return where;
}

void checked_communicator::check_offsets(const call& made, std::span<const int64_t> offset_R1, size_t size) const {
  if (offset_R1.size() != static_cast<size_t>(size_) + 1) {
    throw error(errc::shape_mismatch, "{}: {} offsets, one per rank and an end are needed", describe(made),
                offset_R1.size());
  }
  int64_t last = 0;
  for (const int64_t offset : offset_R1) {
    if (offset < last || static_cast<uint64_t>(offset) > size) {
      throw error(errc::shape_mismatch, "{}: offset {} behind {}, in an array of {}", describe(made), offset, last,
                  size);
    }
    last = offset;
  }
}

void checked_communicator::check_peer(const call& made) const {
  if (made.peer < 0 || made.peer >= size_ || made.tag < 0 || made.tag > largest_tag) {
    throw error(errc::bad_argument, "{}: ranks are 0 to {}, tags 0 to {}; asked for rank {}, tag {}", describe(made),
                size_ - 1, largest_tag, made.peer, made.tag);
  }
}

pending checked_communicator::begin(call made, int64_t traffic::*kind, int64_t sent_bytes) {
  {
    const std::lock_guard lock(counter_->mutex);
    counter_->counted.*kind += sent_bytes;
    ++counter_->counted.operations;
    const int64_t collective = made.collective() ? counter_->collectives++ : 0;
    made.number = made.collective() ? collective : counter_->counted.operations - 1 - counter_->collectives;
  }
  made.under_way = std::make_shared<presence>(counter_);
  return pending(std::make_unique<timed>(start(std::move(made)), counter_));
}

pending checked_communicator::reduce_scatter(std::span<const float> whole, std::span<const int64_t> offset_R1,
                                             std::span<float> part, const operation_options& options) {
  call made{.kind = operation_kind::reduce_scatter,
            .rank = rank_,
            .label = std::string(options.label),
            .deadline = options.deadline};
  check_offsets(made, offset_R1, whole.size());
  const int64_t own = part_size(offset_R1, rank_);
  if (part.size() != static_cast<size_t>(own)) {
    throw error(errc::shape_mismatch, "{}: room for {} values, the part has {}", describe(made), part.size(), own);
  }
  made.from = std::as_bytes(whole).data();
  made.to = std::as_writable_bytes(part).data();
  made.from_offset_R1 = in_bytes(offset_R1, float_bytes);
  made.width = float_bytes;
  made.bytes = own * float_bytes;
  const int64_t sent_values = offset_R1.back() - offset_R1.front() - own;
  return begin(std::move(made), &traffic::reduced, sent_values * float_bytes);
}

pending checked_communicator::all_gather(reals whole, int64_t size, std::span<const int64_t> offset_R1,
                                         const operation_options& options) {
  call made{.kind = operation_kind::all_gather,
            .rank = rank_,
            .label = std::string(options.label),
            .deadline = options.deadline};
  check_offsets(made, offset_R1, static_cast<size_t>(size));
  made.width = size_of(whole.type());
  made.to = static_cast<std::byte*>(whole.data());
  made.to_offset_R1 = in_bytes(offset_R1, made.width);
  const int64_t sent = part_size(offset_R1, rank_) * made.width * (size_ - 1);
  return begin(std::move(made), &traffic::gathered, sent);
}

pending checked_communicator::all_to_all(std::span<const std::byte> send, std::span<const int64_t> send_offset_R1,
                                         std::span<std::byte> receive, std::span<const int64_t> receive_offset_R1,
                                         const operation_options& options) {
  call made{.kind = operation_kind::all_to_all,
            .rank = rank_,
            .label = std::string(options.label),
            .deadline = options.deadline};
  check_offsets(made, send_offset_R1, send.size());
  check_offsets(made, receive_offset_R1, receive.size());
  if (part_size(send_offset_R1, rank_) != part_size(receive_offset_R1, rank_)) {
    throw error(errc::shape_mismatch, "{}: the rank sends {} bytes to itself, receives {}", describe(made),
                part_size(send_offset_R1, rank_), part_size(receive_offset_R1, rank_));
  }
  made.from = send.data();
  made.to = receive.data();
  made.from_offset_R1 = in_bytes(send_offset_R1, 1);
  made.to_offset_R1 = in_bytes(receive_offset_R1, 1);
  const int64_t sent = send_offset_R1.back() - send_offset_R1.front() - part_size(send_offset_R1, rank_);
  return begin(std::move(made), &traffic::other, sent);
}

pending checked_communicator::broadcast(std::span<std::byte> data, int root, const operation_options& options) {
  call made{.kind = operation_kind::broadcast,
            .rank = rank_,
            .to = data.data(),
            .peer = root,
            .label = std::string(options.label),
            .deadline = options.deadline};
  made.bytes = static_cast<int64_t>(data.size());
  check_peer(made);
  const int64_t sent = root == rank_ ? made.bytes * (size_ - 1) : 0;
  return begin(std::move(made), &traffic::other, sent);
}

pending checked_communicator::send(std::span<const std::byte> data, int to, int tag, const operation_options& options) {
  call made{.kind = operation_kind::send,
            .rank = rank_,
            .from = data.data(),
            .peer = to,
            .tag = tag,
            .label = std::string(options.label),
            .deadline = options.deadline};
  made.bytes = static_cast<int64_t>(data.size());
  check_peer(made);
  const int64_t sent = to == rank_ ? 0 : made.bytes;
  return begin(std::move(made), &traffic::other, sent);
}

pending checked_communicator::receive(std::span<std::byte> data, int from, int tag, const operation_options& options) {
  call made{.kind = operation_kind::receive,
            .rank = rank_,
            .to = data.data(),
            .peer = from,
            .tag = tag,
            .label = std::string(options.label),
            .deadline = options.deadline};
  made.bytes = static_cast<int64_t>(data.size());
  check_peer(made);
  return begin(std::move(made), &traffic::other, 0);
}

traffic checked_communicator::sent() const {
  const std::lock_guard lock(counter_->mutex);
  traffic now = counter_->counted;
  if (counter_->under_way > 0) {
    now.under_way_s += seconds_since(counter_->busy_since);
  }
  return now;
}

}  // namespace troupe::engine
