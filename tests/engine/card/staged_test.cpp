// What every communicator must do, with all arrays on cards: each rank (a thread here) has one of its own, or all share
// one.
#include "engine/parallel/staged.hpp"
#include "engine/tensor/transfer.hpp"
#include "support/collective_checks.hpp"
#include "support/emulation/emulated_card.hpp"
#include "support/errors.hpp"
#include "support/local_ranks.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

namespace troupe::engine {
namespace {

/// An array of the host's, and its copy on a card for as long as an operation is under way.
class card_copy {
public:
  card_copy(context& ctx, const void* host, size_t bytes)
      : ctx_(ctx), at_(ctx.on->reserve(static_cast<int64_t>(bytes), "arrays")), bytes_(static_cast<int64_t>(bytes)) {
    ctx_.on->map(at_, bytes_);
    send(ctx_, at_, host, bytes_);
  }
  card_copy(const card_copy&) = delete;
  card_copy& operator=(const card_copy&) = delete;
  ~card_copy() { ctx_.on->free(at_); }

  std::byte* at() const { return at_; }
  void back(void* host) const { fetch(ctx_, host, at_, bytes_); }

private:
  context& ctx_;
  std::byte* at_;
  int64_t bytes_;
};

/// Its arrays are copied to a card before an operation, and what it has written is copied back after it.
class card_operation final : public pending::operation {
public:
  card_operation(std::vector<std::unique_ptr<card_copy>> copies, std::vector<std::pair<size_t, void*>> results,
                 pending carried)
      : copies_(std::move(copies)), results_(std::move(results)), carried_(std::move(carried)) {}
  void wait() override {
    carried_.wait();
    for (const auto& [copy, host] : results_) {
      copies_[copy]->back(host);
    }
  }

private:
  std::vector<std::unique_ptr<card_copy>> copies_;
  std::vector<std::pair<size_t, void*>> results_;
  pending carried_;
};

class on_a_card final : public communicator {
public:
  on_a_card(context& ctx, communicator_ptr by) : ctx_(ctx), by_(staged(std::move(by), ctx.on)) {}

  int rank() const override { return by_->rank(); }
  int size() const override { return by_->size(); }
  traffic sent() const override { return by_->sent(); }

  pending reduce_scatter(std::span<const float> whole, std::span<const int64_t> offset_R1, std::span<float> part,
                         const operation_options& options) override {
    copies_type copies;
    copies.push_back(copy(whole.data(), whole.size_bytes()));
    auto* const values = reinterpret_cast<float*>(copies[0]->at());
    const bool in_place = part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
    if (in_place) {
      pending carried = by_->reduce_scatter({values, whole.size()}, offset_R1,
                                            {values + (part.data() - whole.data()), part.size()}, options);
      return made(std::move(copies), {{0, const_cast<float*>(whole.data())}}, std::move(carried));
    }
    copies.push_back(copy(part.data(), part.size_bytes()));
    pending carried = by_->reduce_scatter({values, whole.size()}, offset_R1,
                                          {reinterpret_cast<float*>(copies[1]->at()), part.size()}, options);
    return made(std::move(copies), {{1, part.data()}}, std::move(carried));
  }

  pending all_gather(reals whole, int64_t size, std::span<const int64_t> offset_R1,
                     const operation_options& options) override {
    copies_type copies;
    copies.push_back(copy(whole.data(), static_cast<size_t>(size * size_of(whole.type()))));
    pending carried = by_->all_gather(reals(copies[0]->at(), whole.type()), size, offset_R1, options);
    return made(std::move(copies), {{0, whole.data()}}, std::move(carried));
  }

  pending all_to_all(std::span<const std::byte> send, std::span<const int64_t> send_offset_R1,
                     std::span<std::byte> receive, std::span<const int64_t> receive_offset_R1,
                     const operation_options& options) override {
    copies_type copies;
    copies.push_back(copy(send.data(), send.size()));
    copies.push_back(copy(receive.data(), receive.size()));
    pending carried = by_->all_to_all({copies[0]->at(), send.size()}, send_offset_R1, {copies[1]->at(), receive.size()},
                                      receive_offset_R1, options);
    return made(std::move(copies), {{1, receive.data()}}, std::move(carried));
  }

  pending broadcast(std::span<std::byte> data, int root, const operation_options& options) override {
    copies_type copies;
    copies.push_back(copy(data.data(), data.size()));
    pending carried = by_->broadcast({copies[0]->at(), data.size()}, root, options);
    return made(std::move(copies), {{0, data.data()}}, std::move(carried));
  }

  pending send(std::span<const std::byte> data, int to, int tag, const operation_options& options) override {
    copies_type copies;
    copies.push_back(copy(data.data(), data.size()));
    pending carried = by_->send({copies[0]->at(), data.size()}, to, tag, options);
    return made(std::move(copies), {}, std::move(carried));
  }

  pending receive(std::span<std::byte> data, int from, int tag, const operation_options& options) override {
    copies_type copies;
    copies.push_back(copy(data.data(), data.size()));
    pending carried = by_->receive({copies[0]->at(), data.size()}, from, tag, options);
    return made(std::move(copies), {{0, data.data()}}, std::move(carried));
  }

private:
  using copies_type = std::vector<std::unique_ptr<card_copy>>;

  std::unique_ptr<card_copy> copy(const void* host, size_t bytes) const {
    return std::make_unique<card_copy>(ctx_, host, bytes);
  }
  static pending made(copies_type copies, std::vector<std::pair<size_t, void*>> results, pending carried) {
    return pending(std::make_unique<card_operation>(std::move(copies), std::move(results), std::move(carried)));
  }

  context& ctx_;
  communicator_ptr by_;
};

class world_on_a_card final : public world {
public:
  world_on_a_card(context& ctx, world& by) : ctx_(ctx), by_(by) {}
  int rank() const override { return by_.rank(); }
  int size() const override { return by_.size(); }
  communicator_ptr open(const std::string& name) override { return over(by_.open(name)); }
  communicator_ptr open(const std::string& name, std::span<const int> members) override {
    return over(by_.open(name, members));
  }

private:
  communicator_ptr over(communicator_ptr group) const {
    return group == nullptr ? nullptr : std::make_shared<on_a_card>(ctx_, std::move(group));
  }

  context& ctx_;
  world& by_;
};

/// Runs a check on each rank of a world whose arrays are on cards.
template <class Check> void expect_nothing_found(int ranks, bool one_card, const Check& check) {
  const emulation::card_options options{.page_bytes = 4096, .late = true};
  const std::unique_ptr<device> shared = one_card ? emulation::make_card(options) : nullptr;
  test::as_local_ranks(ranks, [&](world& here) {
    const std::unique_ptr<device> own = one_card ? nullptr : emulation::make_card(options);
    device& card = one_card ? *shared : *own;
    thread_pool pool(1);
    context ctx{pool, &card};
    world_on_a_card there(ctx, here);
    EXPECT_EQ(check(there), test::findings());
  });
}

TEST(StagedCollectives, EachOperationIsThatOfTheHost) {
  for (const int ranks : {1, 2, 3}) {
    expect_nothing_found(ranks, false, test::check_each_operation);
  }
  expect_nothing_found(2, true, test::check_each_operation);
}

TEST(StagedCollectives, ManyAreUnderWayAtATime) {
  for (uint64_t seed = 0; seed < 3; ++seed) {
    expect_nothing_found(3, seed == 0, [&](world& there) { return test::check_many_in_flight(there, seed, 40); });
  }
}

TEST(StagedCollectives, GroupsDivideTheRanks) { expect_nothing_found(3, false, test::check_divided); }

TEST(StagedCollectives, AreCountedByTheirCarrier) { expect_nothing_found(2, false, test::check_traffic); }

TEST(StagedCollectives, WithoutACardAreThoseOfTheHost) {
  const std::unique_ptr<world> alone = solo_world();
  const communicator_ptr group = alone->open("x");
  EXPECT_EQ(staged(group, nullptr), group);
  EXPECT_EQ(staged(nullptr, nullptr), nullptr);
}

TEST(StagedCollectives, TheCarrierRefusesWhatDoesNotFit) {
  const std::unique_ptr<device> card = emulation::make_card();
  const std::unique_ptr<world> alone = solo_world();
  const communicator_ptr group = staged(alone->open("x"), card.get());
  std::byte* const there = card->reserve(4096, "arrays");
  card->map(there, 4096);
  const auto gather = [&](const std::vector<int64_t>& offset_R1) {
    group->all_gather(reals(reinterpret_cast<float*>(there)), 4, offset_R1);
  };
  test::expect_error(errc::shape_mismatch, "3 offsets", [&] { gather({0, 1, 2}); });
  test::expect_error(errc::shape_mismatch, "offset 5000000000", [&] { gather({0, 5000000000}); });
  test::expect_error(errc::shape_mismatch, "offset 1 behind 2", [&] { gather({2, 1}); });
  gather({0, 4});
  card->free(there);
}

/// One operation's memory may be the next one's, once it has been copied.
TEST(StagedCollectives, MayFollowEachOtherBeforeTheCardHasWhatCame) {
  test::as_local_ranks(2, [](world& here) {
    const std::unique_ptr<device> card = emulation::make_card({.late = true});
    thread_pool pool(1);
    context ctx{pool, card.get()};
    const communicator_ptr group = staged(here.open("weights"), card.get());
    constexpr size_t count = 5;
    std::vector<std::unique_ptr<card_copy>> arrays;
    for (size_t i = 0; i < count; ++i) {
      const std::vector<std::byte> values(100, std::byte(here.rank() == 0 ? i + 1 : 0));
      arrays.push_back(std::make_unique<card_copy>(ctx, values.data(), values.size()));
    }
    for (const auto& array : arrays) {
      group->broadcast({array->at(), 100}, 0).wait();
    }
    for (size_t i = 0; i < count; ++i) {
      std::vector<std::byte> values(100);
      arrays[i]->back(values.data());
      EXPECT_EQ(values, std::vector<std::byte>(100, std::byte(i + 1))) << "rank " << here.rank();
    }
  });
}

/// The one who computes where the carrier is, and the one who has arrays on a card, keep one order.
TEST(StagedCollectives, HostMemoryMayBeExchangedBetween) {
  test::as_local_ranks(2, [](world& here) {
    const std::unique_ptr<device> card = emulation::make_card({.late = true});
    thread_pool pool(1);
    context ctx{pool, card.get()};
    const communicator_ptr carrier = here.open("gradients");
    const communicator_ptr on_card = staged(carrier, card.get());
    const card_copy there(ctx, std::vector<float>{1.0F + static_cast<float>(here.rank()), 5}.data(), 8);
    const std::vector<int64_t> offset_R1{0, 1, 2};
    auto* const values = reinterpret_cast<float*>(there.at());
    pending first = on_card->reduce_scatter({values, 2}, offset_R1, {values + here.rank(), 1}, {.label = "a"});
    const auto words = gather_bytes(*carrier, std::vector<std::byte>(3, std::byte(here.rank())), {.label = "b"});
    EXPECT_EQ(words[1].at(2), std::byte{1});
    first.wait();
    on_card->all_gather(reals(values), 2, offset_R1, {.label = "c"}).wait();
    std::vector<float> sums(2);
    there.back(sums.data());
    EXPECT_EQ(sums, (std::vector<float>{3, 10}));
  });
}

}  // namespace
}  // namespace troupe::engine
