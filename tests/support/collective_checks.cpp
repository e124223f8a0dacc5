#include "support/collective_checks.hpp"

#include "base/random.hpp"
#include "support/naive_join.hpp"
#include "support/random_values.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <utility>

namespace troupe::test {

using engine::communicator;
using engine::communicator_ptr;
using engine::pending;

namespace {

using bytes = std::vector<std::byte>;

/// Sizes that differ by orders of magnitude, so that another order of summation shows in the bits.
std::vector<float> input(int64_t count, uint64_t stream, int rank) {
  std::vector<float> values = random_values(count, stream * 64 + static_cast<uint64_t>(rank));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] *= static_cast<float>(1 << ((i + static_cast<size_t>(rank) * 5) % 12));
  }
  return values;
}

bytes message(int64_t count, uint64_t stream, int from, int to) {
  const std::vector<float> values = random_values(count / 4 + 1, stream * 4096 + static_cast<uint64_t>(from * 64 + to));
  bytes all(std::as_bytes(std::span(values)).begin(), std::as_bytes(std::span(values)).end());
  all.resize(static_cast<size_t>(count));
  return all;
}

std::vector<float> naive_sum(int64_t count, uint64_t stream, int ranks) {
  std::vector<std::vector<float>> piece_R;
  for (int r = 0; r < ranks; ++r) {
    piece_R.push_back(input(count, stream, r));
  }
  std::vector<float> sum(static_cast<size_t>(count));
  for (size_t i = 0; i < sum.size(); ++i) {
    sum[i] = naive_join(piece_R, 0, piece_R.size(), i);
  }
  return sum;
}

/// Parts of [0, count): even; all at the last rank; all at the first; or cut anywhere.
std::vector<int64_t> cut(int64_t count, int ranks, uint64_t style) {
  std::vector<int64_t> offset_R1(static_cast<size_t>(ranks) + 1, 0);
  std::mt19937_64 random(style);
  for (int r = 1; r < ranks; ++r) {
    const auto anywhere = static_cast<int64_t>(random() % static_cast<uint64_t>(count + 1));
    offset_R1[static_cast<size_t>(r)] = style == 0 ? count * r / ranks : style == 1 ? 0 : style == 2 ? count : anywhere;
  }
  offset_R1.back() = count;
  std::sort(offset_R1.begin(), offset_R1.end());
  return offset_R1;
}

template <class Real>
std::span<Real> part_of(std::vector<Real>& whole, const std::vector<int64_t>& offset_R1, int rank) {
  const auto first = static_cast<size_t>(offset_R1[static_cast<size_t>(rank)]);
  return std::span(whole).subspan(first, static_cast<size_t>(offset_R1[static_cast<size_t>(rank) + 1]) - first);
}

template <class T> bool same_bits(std::span<const T> a, std::span<const T> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

/// An operation with its buffers and its naive result. Started, and checked after its end.
class trial {
public:
  virtual ~trial() = default;
  virtual void start(communicator& group) = 0;
  virtual bool right() const = 0;
  virtual std::string text() const = 0;
  void wait() {
    for (pending& p : under_way_) {
      p.wait();
    }
  }

protected:
  std::vector<pending> under_way_;
};

class reduce_scatter_trial final : public trial {
public:
  reduce_scatter_trial(int64_t count, uint64_t stream, uint64_t style, bool in_place)
      : count_(count), stream_(stream), style_(style), in_place_(in_place) {}

  void start(communicator& group) override {
    const std::vector<int64_t> offset_R1 = cut(count_, group.size(), style_);
    whole_ = input(count_, stream_, group.rank());
    std::vector<float> sum = naive_sum(count_, stream_, group.size());
    const std::span<float> expected = part_of(sum, offset_R1, group.rank());
    expected_.assign(expected.begin(), expected.end());
    room_.resize(expected.size());
    part_ = in_place_ ? part_of(whole_, offset_R1, group.rank()) : std::span<float>(room_);
    under_way_.push_back(group.reduce_scatter(whole_, offset_R1, part_));
  }
  bool right() const override { return same_bits<float>(part_, expected_); }
  std::string text() const override {
    return fmt::format("reduce_scatter of {}, cut {}, in place {}", count_, style_, in_place_);
  }

private:
  int64_t count_;
  uint64_t stream_, style_;
  bool in_place_;
  std::vector<float> whole_, room_, expected_;
  std::span<float> part_;
};

float as(float value, float) { return value; }
bf16 as(float value, bf16) { return to_bf16(value); }

/// Of floats, or of bfloat16.
template <class Real> class all_gather_trial final : public trial {
public:
  all_gather_trial(int64_t count, uint64_t stream, uint64_t style) : count_(count), stream_(stream), style_(style) {}

  void start(communicator& group) override {
    // The array lies within a larger one, as a segment in its arena.
    constexpr int64_t before = 3;
    std::vector<int64_t> offset_R1 = cut(count_, group.size(), style_);
    std::for_each(offset_R1.begin(), offset_R1.end(), [](int64_t& offset) { offset += before; });
    whole_.assign(static_cast<size_t>(count_ + before), as(7.0F, Real{}));
    expected_ = whole_;
    for (int r = 0; r < group.size(); ++r) {
      std::vector<float> of_rank = input(count_ + before, stream_, r);
      const std::span<float> part = part_of(of_rank, offset_R1, r);
      std::transform(part.begin(), part.end(), part_of(expected_, offset_R1, r).begin(),
                     [](float value) { return as(value, Real{}); });
    }
    const std::span<Real> own = part_of(expected_, offset_R1, group.rank());
    std::copy(own.begin(), own.end(), part_of(whole_, offset_R1, group.rank()).begin());
    under_way_.push_back(group.all_gather(whole_.data(), count_ + before, offset_R1));
  }
  bool right() const override { return same_bits<Real>(whole_, expected_); }
  std::string text() const override {
    return fmt::format("all_gather of {} values of {} bytes, cut {}", count_, sizeof(Real), style_);
  }

private:
  int64_t count_;
  uint64_t stream_, style_;
  std::vector<Real> whole_, expected_;
};

class all_to_all_trial final : public trial {
public:
  all_to_all_trial(int64_t largest, uint64_t stream) : largest_(largest), stream_(stream) {}

  void start(communicator& group) override {
    std::vector<int64_t> send_offset_R1{0};
    std::vector<int64_t> receive_offset_R1{0};
    for (int r = 0; r < group.size(); ++r) {
      append(send_, message(size(group.rank(), r), stream_, group.rank(), r));
      append(expected_, message(size(r, group.rank()), stream_, r, group.rank()));
      send_offset_R1.push_back(static_cast<int64_t>(send_.size()));
      receive_offset_R1.push_back(static_cast<int64_t>(expected_.size()));
    }
    received_.resize(expected_.size());
    under_way_.push_back(group.all_to_all(send_, send_offset_R1, received_, receive_offset_R1));
  }
  bool right() const override { return same_bits<std::byte>(received_, expected_); }
  std::string text() const override { return fmt::format("all_to_all of up to {} bytes", largest_); }

private:
  int64_t size(int from, int to) const { return (largest_ * (from + 2 * to + 1) / 7) % (largest_ + 1); }
  static void append(bytes& to, const bytes& more) { to.insert(to.end(), more.begin(), more.end()); }

  int64_t largest_;
  uint64_t stream_;
  bytes send_, received_, expected_;
};

class broadcast_trial final : public trial {
public:
  broadcast_trial(int64_t size, uint64_t stream, uint64_t root) : size_(size), stream_(stream), root_(root) {}

  void start(communicator& group) override {
    const int root = static_cast<int>(root_ % static_cast<uint64_t>(group.size()));
    expected_ = message(size_, stream_, root, 0);
    data_ = group.rank() == root ? expected_ : bytes(expected_.size());
    under_way_.push_back(group.broadcast(data_, root));
  }
  bool right() const override { return same_bits<std::byte>(data_, expected_); }
  std::string text() const override { return fmt::format("broadcast of {} bytes", size_); }

private:
  int64_t size_;
  uint64_t stream_, root_;
  bytes data_, expected_;
};

/// Every rank sends twice under one tag and once under another to the rank `step` behind it, and receives in an order
/// in which only the tags can tell them apart. step 0: to itself.
class ring_trial final : public trial {
public:
  ring_trial(int64_t size, uint64_t stream, int step) : size_(size), stream_(stream), step_(step) {}

  void start(communicator& group) override {
    const int to = (group.rank() + step_) % group.size();
    const int from = ((group.rank() - step_) % group.size() + group.size()) % group.size();
    constexpr int tag[3] = {5, 5, 6};
    for (uint64_t i = 0; i < 3; ++i) {
      send_[i] = message(size_ + static_cast<int64_t>(i), stream_ + i, group.rank(), to);
      expected_[i] = message(size_ + static_cast<int64_t>(i), stream_ + i, from, group.rank());
      received_[i].resize(expected_[i].size());
      under_way_.push_back(group.send(send_[i], to, tag[i]));
    }
    for (const size_t i : {2, 0, 1}) {
      under_way_.push_back(group.receive(received_[i], from, tag[i]));
    }
  }
  bool right() const override { return std::equal(std::begin(received_), std::end(received_), std::begin(expected_)); }
  std::string text() const override { return fmt::format("three messages of about {} bytes", size_); }

private:
  int64_t size_;
  uint64_t stream_;
  int step_;
  bytes send_[3], received_[3], expected_[3];
};

/// Trial `number` of a random row of trials, the same on all ranks.
std::unique_ptr<trial> random_trial(uint64_t seed, uint64_t number) {
  std::mt19937_64 random(seed * 100003 + number);
  const int64_t sizes[] = {0, 1, 17, 1000, 6000};
  const int64_t size = sizes[random() % 5];
  const uint64_t stream = random() % 1000;
  switch (random() % 5) {
  case 0:
    return std::make_unique<reduce_scatter_trial>(size, stream, random() % 6, random() % 2 == 0);
  case 1:
    if (stream % 2 == 0) {
      return std::make_unique<all_gather_trial<bf16>>(size, stream, random() % 6);
    }
    return std::make_unique<all_gather_trial<float>>(size, stream, random() % 6);
  case 2:
    return std::make_unique<all_to_all_trial>(size, stream);
  case 3:
    return std::make_unique<broadcast_trial>(size, stream, random() % 4);
  default:
    return std::make_unique<ring_trial>(size, stream, static_cast<int>(random() % 4));
  }
}

void run(communicator& group, trial& one, findings& found) {
  one.start(group);
  one.wait();
  if (!one.right()) {
    found.push_back(fmt::format("rank {} of {}: {}", group.rank(), group.size(), one.text()));
  }
}

void check_composed(communicator& group, findings& found) {
  for (const int64_t count : {0, 1, 2, 1000}) {
    std::vector<float> values = input(count, 77, group.rank());
    engine::all_reduce(group, values);
    if (!same_bits<float>(values, naive_sum(count, 77, group.size()))) {
      found.push_back(fmt::format("rank {}: all_reduce of {}", group.rank(), count));
    }
  }
  const std::vector<bytes> all = engine::gather_bytes(group, message(100L * group.rank(), 78, group.rank(), 0));
  for (int r = 0; r < group.size(); ++r) {
    if (all.at(static_cast<size_t>(r)) != message(100L * r, 78, r, 0)) {
      found.push_back(fmt::format("rank {}: gather_bytes from {}", group.rank(), r));
    }
  }
  engine::barrier(group);
}

}  // namespace

findings check_each_operation(engine::world& world) {
  findings found;
  const communicator_ptr group = world.open("one at a time");
  uint64_t stream = 0;
  for (const int64_t count : {0, 1, 3, 1000, 5000, 40000}) {
    for (uint64_t style = 0; style < 5; ++style) {
      if (count == 40000 && style > 0) {
        break;  // beyond what MPI sends eagerly: once is enough
      }
      for (const bool in_place : {false, true}) {
        reduce_scatter_trial reduce(count, ++stream, style, in_place);
        run(*group, reduce, found);
      }
      all_gather_trial<float> gather(count, ++stream, style);
      run(*group, gather, found);
      all_gather_trial<bf16> narrow(count, ++stream, style);
      run(*group, narrow, found);
    }
    all_to_all_trial exchange(count, ++stream);
    run(*group, exchange, found);
    for (int peer = 0; peer < world.size(); ++peer) {
      broadcast_trial broadcast(count, ++stream, static_cast<uint64_t>(peer));
      run(*group, broadcast, found);
      ring_trial ring(count, ++stream, peer);
      run(*group, ring, found);
    }
  }
  check_composed(*group, found);
  return found;
}

namespace {

void check_group(engine::world& world, const std::vector<int>& members, uint64_t stream, findings& found) {
  const communicator_ptr group = world.open(fmt::format("division {}", stream), members);
  const auto place = std::find(members.begin(), members.end(), world.rank()) - members.begin();
  if (group->rank() != place || group->size() != static_cast<int>(members.size())) {
    found.push_back(fmt::format("rank {} is {} of {}, not {} of {}", world.rank(), group->rank(), group->size(), place,
                                members.size()));
    return;
  }
  for (const int64_t count : {1, 5000}) {
    reduce_scatter_trial reduce(count, ++stream, 1, false);
    run(*group, reduce, found);
    all_gather_trial<float> gather(count, ++stream, 2);
    run(*group, gather, found);
    all_to_all_trial exchange(count, ++stream);
    run(*group, exchange, found);
    broadcast_trial broadcast(count, ++stream, 0);
    run(*group, broadcast, found);
    ring_trial ring(count, ++stream, 0);
    run(*group, ring, found);
  }
  check_composed(*group, found);
}

}  // namespace

findings check_divided(engine::world& world) {
  findings found;
  for (int groups = 1; groups <= 3; ++groups) {
    std::vector<int> members;
    for (int r = world.size() - 1; r >= 0; --r) {
      if (r % groups == world.rank() % groups) {
        members.push_back(r);
      }
    }
    check_group(world, members, static_cast<uint64_t>(groups) * 100, found);
  }
  if (world.rank() == 0) {
    if (world.open("division 400", std::vector<int>{}) != nullptr) {
      found.emplace_back("rank 0 is in no group, but has a communicator");
    }
  } else {
    std::vector<int> others;
    for (int r = 1; r < world.size(); ++r) {
      others.push_back(r);
    }
    check_group(world, others, 400, found);
  }
  return found;
}

findings check_many_in_flight(engine::world& world, uint64_t seed, int operations, calling_order order) {
  findings found;
  constexpr uint64_t groups = 3;
  std::vector<communicator_ptr> group_of;
  std::vector<uint64_t> started(groups, 0);
  for (uint64_t g = 0; g < groups; ++g) {
    group_of.push_back(world.open(fmt::format("group {}", g)));
  }
  std::mt19937_64 own(seed + static_cast<uint64_t>(world.rank()) * 977);
  std::mt19937_64 common(seed);
  std::mt19937_64& calling = order == calling_order::own ? own : common;
  std::vector<std::unique_ptr<trial>> under_way;
  for (int i = 0; i < operations; ++i) {
    // On each communicator the same row of trials on all ranks; between communicators, any order, or one.
    uint64_t g = calling() % groups;
    while (started[g] >= static_cast<uint64_t>(operations) / groups + 1) {
      g = (g + 1) % groups;
    }
    under_way.push_back(random_trial(seed * groups + g, started[g]++));
    under_way.back()->start(*group_of[g]);
  }
  for (uint64_t g = 0; g < groups; ++g) {  // what this rank has not started yet of what others have
    while (started[g] < static_cast<uint64_t>(operations) / groups + 1) {
      under_way.push_back(random_trial(seed * groups + g, started[g]++));
      under_way.back()->start(*group_of[g]);
    }
  }
  std::shuffle(under_way.begin(), under_way.end(), own);
  for (const auto& one : under_way) {
    one->wait();
    if (!one->right()) {
      found.push_back(fmt::format("rank {}: seed {}: {}", world.rank(), seed, one->text()));
    }
  }
  return found;
}

findings check_traffic(engine::world& world) {
  const communicator_ptr group = world.open("counted");
  const int64_t before = group->sent().operations;  // of opening it
  const int64_t other_before = group->sent().other;
  const int64_t ranks = world.size();
  const int64_t rank = world.rank();
  std::vector<int64_t> offset_R1{0};
  for (int64_t r = 0; r < ranks; ++r) {
    offset_R1.push_back(offset_R1.back() + 10 + r);
  }
  std::vector<float> whole(static_cast<size_t>(offset_R1.back()));
  std::vector<float> part(static_cast<size_t>(10 + rank));
  group->reduce_scatter(whole, offset_R1, part).wait();
  group->all_gather(whole, offset_R1).wait();
  bytes data(100);
  group->broadcast(data, 0).wait();
  bytes received(100);
  pending sending = group->send(data, static_cast<int>((rank + 1) % ranks), 1);
  group->receive(received, static_cast<int>((rank + ranks - 1) % ranks), 1).wait();
  sending.wait();

  const engine::traffic sent = group->sent();
  const int64_t broadcast = rank == 0 ? 100 * (ranks - 1) : 0;
  const int64_t message = ranks == 1 ? 0 : 100;
  findings found;
  const auto expect = [&](const char* what, int64_t is, int64_t should) {
    if (is != should) {
      found.push_back(fmt::format("rank {} of {}: {} {}, not {}", rank, ranks, what, is, should));
    }
  };
  expect("operations", sent.operations - before, 5);
  expect("bytes reduced", sent.reduced, 4 * (offset_R1.back() - (10 + rank)));
  expect("bytes gathered", sent.gathered, 4 * (10 + rank) * (ranks - 1));
  expect("other bytes", sent.other - other_before, broadcast + message);
  if (!(sent.waited_s >= 0)) {
    found.push_back("waited less than nothing");
  }
  if (!(sent.under_way_s > 0)) {
    found.push_back("operations took no time");
  }
  return found;
}

}  // namespace troupe::test
