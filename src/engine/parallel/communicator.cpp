#include "engine/parallel/communicator.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace troupe::engine {

pending& pending::operator=(pending&& other) noexcept {
  if (this != &other) {
    pending old(std::move(*this));  // waits at the end of this block, before nobody knows of it any more
    under_way_ = std::move(other.under_way_);
  }
  return *this;
}

pending::~pending() {
  try {
    wait();
  } catch (...) {  // the operation is over; who wants to know how it ended calls wait
  }
}

void pending::wait() {
  if (const auto ending = std::move(under_way_)) {
    ending->wait();
  }
}

namespace {

/// Where `parts` even parts of `count` things begin.
std::vector<int64_t> even_parts(int64_t count, int parts) {
  std::vector<int64_t> offset_R1;
  for (int64_t r = 0; r <= parts; ++r) {
    offset_R1.push_back(count / parts * r + std::min<int64_t>(count % parts, r));
  }
  return offset_R1;
}

}  // namespace

void all_reduce(communicator& group, std::span<float> values, const operation_options& options) {
  const std::vector<int64_t> offset_R1 = even_parts(static_cast<int64_t>(values.size()), group.size());
  const auto first = static_cast<size_t>(offset_R1[static_cast<size_t>(group.rank())]);
  const auto last = static_cast<size_t>(offset_R1[static_cast<size_t>(group.rank()) + 1]);
  group.reduce_scatter(values, offset_R1, values.subspan(first, last - first), options).wait();
  group.all_gather(values, offset_R1, options).wait();
}

std::vector<std::vector<std::byte>> gather_bytes(communicator& group, std::span<const std::byte> mine,
                                                 const operation_options& options) {
  const auto ranks = static_cast<size_t>(group.size());
  const std::vector<int64_t> mine_R(ranks, static_cast<int64_t>(mine.size()));
  std::vector<int64_t> size_R(ranks);
  const std::vector<int64_t> offset_R1 = even_parts(static_cast<int64_t>(ranks * sizeof(int64_t)), group.size());
  group
      .all_to_all(std::as_bytes(std::span(mine_R)), offset_R1, std::as_writable_bytes(std::span(size_R)), offset_R1,
                  options)
      .wait();

  std::vector<std::vector<std::byte>> bytes_R(ranks);
  std::vector<pending> under_way;
  for (size_t r = 0; r < ranks; ++r) {
    bytes_R[r].resize(static_cast<size_t>(size_R[r]));
    if (r == static_cast<size_t>(group.rank()) && !mine.empty()) {
      std::memcpy(bytes_R[r].data(), mine.data(), mine.size());
    }
    under_way.push_back(group.broadcast(bytes_R[r], static_cast<int>(r), options));
  }
  for (pending& p : under_way) {
    p.wait();
  }
  return bytes_R;
}

void barrier(communicator& group, const operation_options& options) {
  // A byte between every two ranks: nobody has all of them before everybody came.
  const auto ranks = static_cast<size_t>(group.size());
  const std::vector<std::byte> send_R(ranks);
  std::vector<std::byte> receive_R(ranks);
  const std::vector<int64_t> offset_R1 = even_parts(group.size(), group.size());
  group.all_to_all(send_R, offset_R1, receive_R, offset_R1, options).wait();
}

}  // namespace troupe::engine
