// Learners whose arenas lie on cards (emulated, one for each rank) against those of the host that were given the same
// gradients: weights, moments, averages and norms have the same bits, on any ranks and in any stage.
#include "engine/arena/card_arena.hpp"
#include "engine/optim/average.hpp"
#include "engine/optim/learner.hpp"
#include "engine/optim/rank_weights.hpp"
#include "engine/parallel/between_cards.hpp"
#include "engine/tensor/transfer.hpp"
#include "kernels/activation.hpp"
#include "support/emulation/emulated_card.hpp"
#include "support/errors.hpp"
#include "support/local_ranks.hpp"
#include "support/random_values.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

namespace troupe::engine {
namespace {

constexpr adamw_settings decaying{.weight_decay = 0.1, .clip_norm = 0.7};
constexpr double rate = 1e-2;

/// Four segments, of which the last is empty; last panels that are not full, and units of more than one block of
/// squares.
parameter_layout small_layout() {
  parameter_layout layout;
  layout.add_matrix("table", 70, 9);
  layout.begin_segment();
  layout.add_vector("norm", 33);
  layout.add_matrix("first", 130, 11);
  layout.begin_segment();
  layout.add_matrix("second", 40, 300);
  layout.add_vector("bias", 64);
  layout.begin_segment();
  return layout;
}

/// An arena of the host with values that are a function of `stream`, and zeros where no parameter is.
std::vector<float> random_arena(const parameter_layout& layout, uint64_t stream, double scale) {
  std::vector<float> arena(static_cast<size_t>(layout.arena_size()));
  for (const parameter& p : layout.all()) {
    const int64_t count = std::accumulate(p.shape.begin(), p.shape.end(), int64_t{1}, std::multiplies());
    write_parameter(p, test::random_values(count, stream * 1000 + static_cast<uint64_t>(p.offset), scale),
                    arena.data());
  }
  return arena;
}

std::vector<float> gradient_of(const parameter_layout& layout, int64_t micro_batch) {
  return random_arena(layout, 100 + static_cast<uint64_t>(micro_batch), 0.3);
}

/// Where a rank computes.
struct place {
  explicit place(bool on_card, int64_t bytes = int64_t{1} << 26,
                 std::shared_ptr<emulation::wire_network> network = nullptr)
      : card(on_card ? emulation::make_card({.bytes = bytes,
                                             .page_bytes = 4096,
                                             .threads = {.order = emulation::thread_order::shuffled, .seed = 3},
                                             .late = true,
                                             .network = std::move(network)})
                     : nullptr) {}

  int64_t held(const std::string& holder) const {
    for (const memory_use::holder& one : card->use().holders) {
      if (one.name == holder) {
        return one.bytes;
      }
    }
    return 0;
  }

  thread_pool pool{1};
  std::unique_ptr<device> card;
  context ctx{pool, card.get()};
};

/// `arena` := the same values as an arena of the host has. Of sharded weights a rank has its parts.
void fill(context& ctx, const parameter_layout& layout, const shard_plan& plan, int rank,
          const std::vector<float>& from, rank_weights& weights) {
  staging through;
  if (!weights.sharded()) {
    send_arena(ctx, layout, from.data(), weights.data(), through);
    return;
  }
  send_parts(ctx, plan, rank, from.data(), weights.data(), part_places::of_arena, through, part_places::of_arena);
}

/// A backward pass of a micro-batch, whose gradient is known: the segments from the last to the first.
class passes {
public:
  passes(context& ctx, const parameter_layout& layout)
      : layout_(layout), one_(layout.arena_size(), dtype::f32, {ctx.on, "a micro-batch"}) {
    one_.take(0, one_.size());
  }

  /// `onto` null: there is none.
  void run(context& ctx, int64_t micro_batch, float* onto, const std::function<void(int64_t)>& segment_done) {
    if (onto != nullptr) {
      send_arena(ctx, layout_, gradient_of(layout_, micro_batch).data(), one_.data(), through_);
    }
    const std::vector<arena_range> segments = layout_.segments();
    for (size_t s = segments.size(); s-- > 0;) {
      const arena_range range = segments[s];
      if (onto != nullptr) {
        kernels::add_in_place(ctx, onto + range.first, one_.data() + range.first, range.size());
      }
      if (segment_done) {
        segment_done(static_cast<int64_t>(s));
      }
    }
  }

private:
  const parameter_layout& layout_;
  paged_arena one_;
  staging through_;
};

void accumulate_all(context& ctx, learner& learns, passes& backward, int64_t first, int64_t micro_batches) {
  learns.begin(micro_batches);
  for (const int64_t j : learns.order(micro_batches)) {
    float* const onto = j < 0 ? nullptr : learns.gradients(ctx, j);
    backward.run(ctx, first + j, onto, learns.segment_done(ctx));
    learns.end_step(ctx);
  }
}

struct division {
  int ranks = 1, zero = 0;
  int64_t lanes = 4, micro_batches = 6;
  dtype type = dtype::f32;
};

/// What a rank has after its updates, in host memory and in its order. Shards have the parts end to end.
struct outcome {
  std::vector<float> weights, first_moment, second_moment, average;  ///< shards: what its file of a checkpoint holds
  std::vector<float> read;                                           ///< the whole arena that passes read
  std::vector<double> norms;
  int64_t updates = 0;
  bool operator==(const outcome&) const = default;
};

/// A rank that learns.
class rank_learner {
public:
  rank_learner(context& ctx, const parameter_layout& layout, world& here, const division& way)
      : ctx_(ctx), layout_(layout), rank_(here.rank()), backward_(ctx, layout),
        learns_(layout, layout.segments(), {.adamw = decaying, .lanes = way.lanes, .zero = way.zero},
                way.ranks > 1 ? here.open("gradients") : nullptr, {.on = ctx.on, .model = "policy"}),
        read_(weights(here, way, way.type, way.zero == 3)) {
    if (way.type != dtype::f32) {
      masters_.emplace(weights(here, way, dtype::f32, way.zero > 0));
    }
    fill(ctx_, layout_, plan(), rank_, random_arena(layout_, 1, 1.0), learned());
    if (masters_) {
      learns_.round(ctx_, learned().data(), read_.data());
    }
    average_.emplace(learns_.plan(), way.ranks > 1 ? here.open("average") : nullptr, learned().data(), 0.75,
                     arena_place{ctx.on, "policy average"});
  }

  const shard_plan& plan() const { return *learns_.plan(); }
  learner& learns() { return learns_; }
  rank_weights& learned() { return masters_ ? *masters_ : read_; }

  /// Errors  not_finite.
  double update(int64_t first, int64_t micro_batches) {
    accumulate_all(ctx_, learns_, backward_, first, micro_batches);
    const update_report report = learns_.update(ctx_, learned().data(), rate, masters_ ? read_.data() : reals(nullptr));
    average_->fold(ctx_, learned().data());
    return report.gradient_norm;
  }

  outcome found(std::vector<double> norms) {
    outcome all{.norms = std::move(norms), .updates = learns_.updates()};
    all.weights = shard_of(learned().data(), part_places::of_arena);
    all.first_moment = shard_of(learns_.first_moment().data(), moments_stand());
    all.second_moment = shard_of(learns_.second_moment().data(), moments_stand());
    all.average = shard_of(average_->weights().data(), part_places::of_arena);
    gathered_weights whole(read_);
    whole.hold_all(ctx_);
    all.read.resize(static_cast<size_t>(read_.size()));
    fetch_arena(ctx_, layout_, read_.data(), all.read.data(), through_);
    return all;
  }

  /// Goes on from what another one has left: what reading a checkpoint does.
  void restore(const outcome& from) {
    send_parts(ctx_, plan(), rank_, from.weights.data(), learned().data(), part_places::of_arena, through_);
    send_parts(ctx_, plan(), rank_, from.first_moment.data(), learns_.first_moment().data(), moments_stand(), through_);
    send_parts(ctx_, plan(), rank_, from.second_moment.data(), learns_.second_moment().data(), moments_stand(),
               through_);
    send_parts(ctx_, plan(), rank_, from.average.data(), average_->weights().data(), part_places::of_arena, through_);
    if (!learned().sharded()) {
      learns_.gather(learned().data());
    }
    if (learns_.whole_moments()) {
      learns_.gather(learns_.first_moment().data());
      learns_.gather(learns_.second_moment().data());
    }
    if (masters_) {
      learns_.round(ctx_, learned().data(), read_.data());
    }
    learns_.set_updates(from.updates);
  }

private:
  part_places moments_stand() const { return learns_.whole_moments() ? part_places::of_arena : part_places::of_shard; }
  rank_weights weights(world& here, const division& way, dtype type, bool sharded) const {
    const arena_place at{ctx_.on, "policy weights"};
    if (!sharded || way.ranks == 1) {
      return rank_weights(layout_.arena_size(), type, at);
    }
    return {learns_.plan(), here.open(type == dtype::f32 ? "masters" : "weights"), type, at};
  }
  std::vector<float> shard_of(const_reals from, part_places places) const {
    std::vector<float> shard(static_cast<size_t>(plan().shard_size(rank_)), -1.0F);
    fetch_parts(ctx_, plan(), rank_, from, places, shard.data(), through_);
    return shard;
  }

  context& ctx_;
  const parameter_layout& layout_;
  int rank_;
  passes backward_;
  learner learns_;
  rank_weights read_;
  std::optional<rank_weights> masters_;
  std::optional<weight_average> average_;
  mutable staging through_;
};

/// By rank. `on_card` of an update: whether that one is made on cards; in between states go through host memory.
/// `network`: cards exchange by its wires; null: through host memory.
std::vector<outcome> learn(const division& way, const std::vector<bool>& on_card,
                           const std::shared_ptr<emulation::wire_network>& network = nullptr) {
  const parameter_layout layout = small_layout();
  std::vector<outcome> by_rank(static_cast<size_t>(way.ranks));
  test::as_local_ranks(way.ranks, [&](world& here) {
    outcome& mine = by_rank[static_cast<size_t>(here.rank())];
    std::vector<double> norms;
    size_t update = 0;
    while (update < on_card.size()) {
      place at(on_card[update], int64_t{1} << 26, network);
      const bool by_wires = on_card[update] && network != nullptr;
      if (by_wires) {
        settle_exchange(*here.open("cards"), *at.card, {.wanted = card_exchange::wires});
      }
      rank_learner one(at.ctx, layout, here, way);
      if (update > 0) {
        one.restore(mine);
      }
      do {
        norms.push_back(one.update(100 * static_cast<int64_t>(update), way.micro_batches));
        ++update;
      } while (update < on_card.size() && on_card[update] == on_card[update - 1]);
      mine = one.found(norms);
      EXPECT_EQ(by_wires, at.card != nullptr && at.held("arriving pieces") > 0);
    }
  });
  return by_rank;
}

class CardLearner : public testing::TestWithParam<division> {};

TEST_P(CardLearner, HasTheBitsOfTheHosts) {
  const std::vector<outcome> on_host = learn(GetParam(), {false, false, false});
  const std::vector<outcome> on_card = learn(GetParam(), {true, true, true});
  for (size_t rank = 0; rank < on_host.size(); ++rank) {
    EXPECT_EQ(on_card[rank].norms, on_host[rank].norms) << rank;
    EXPECT_EQ(on_card[rank].weights, on_host[rank].weights) << rank;
    EXPECT_EQ(on_card[rank].first_moment, on_host[rank].first_moment) << rank;
    EXPECT_EQ(on_card[rank].second_moment, on_host[rank].second_moment) << rank;
    EXPECT_EQ(on_card[rank].average, on_host[rank].average) << rank;
    EXPECT_EQ(on_card[rank].read, on_host[rank].read) << rank;
    EXPECT_EQ(on_card[rank].updates, 3);
    EXPECT_GT(on_host[rank].norms[0], 0.7) << "gradients are clipped";
  }
}

/// And what passes from card to card by wires is what goes through host memory.
TEST_P(CardLearner, HasTheSameBitsByWires) {
  if (GetParam().ranks > 1) {
    const std::vector<outcome> on_host = learn(GetParam(), {false, false});
    EXPECT_EQ(learn(GetParam(), {true, true}, std::make_shared<emulation::wire_network>()), on_host);
  }
}

/// A checkpoint of either kind of place is the same bytes, so either goes on from the other's.
TEST_P(CardLearner, TakesTurnsWithTheHosts) {
  const std::vector<outcome> on_host = learn(GetParam(), {false, false, false});
  EXPECT_EQ(learn(GetParam(), {false, true, false}), on_host);
}

std::vector<division> divisions() {
  std::vector<division> all;
  for (const dtype type : {dtype::f32, dtype::bf16}) {
    for (const int64_t lanes : {1, 2, 4}) {
      all.push_back({.lanes = lanes, .type = type});
    }
    for (const int ranks : {2, 4}) {
      for (const int zero : {0, 1, 2, 3}) {
        all.push_back({.ranks = ranks, .zero = zero, .type = type});
      }
    }
  }
  all.push_back({.ranks = 2, .zero = 2, .lanes = 4, .micro_batches = 3});   // segments of a lane come and go
  all.push_back({.ranks = 2, .zero = 3, .lanes = 4, .micro_batches = 13});  // lanes of several
  all.push_back({.ranks = 3, .zero = 2, .lanes = 1, .micro_batches = 4});
  all.push_back({.ranks = 2, .zero = 1, .lanes = 2, .micro_batches = 1});  // a rank without any
  return all;
}

INSTANTIATE_TEST_SUITE_P(Divisions, CardLearner, testing::ValuesIn(divisions()), [](const auto& tested) {
  const division& way = tested.param;
  return std::to_string(way.ranks) + "ranks_zero" + std::to_string(way.zero) + "_" + std::to_string(way.lanes) +
         "lanes_" + std::to_string(way.micro_batches) + "_" + to_string(way.type);
});

/// All ranks' weights, put together.
std::vector<float> whole(const std::vector<outcome>& by_rank) { return by_rank.front().read; }

TEST(CardLearnerOfRanks, DependsOnTheLanesAlone) {
  const std::vector<bool> thrice(3, true);
  const std::vector<outcome> one = learn({}, thrice);
  for (const int zero : {0, 1, 2, 3}) {
    const std::vector<outcome> four = learn({.ranks = 4, .zero = zero}, thrice);
    EXPECT_EQ(whole(four), whole(one)) << zero;
    EXPECT_EQ(four[1].norms, one[0].norms) << zero;
  }
}

TEST(CardLearnerErrors, ANormThatIsNotFiniteLeavesEverythingAsItWas) {
  const parameter_layout layout = small_layout();
  for (const int zero : {0, 1, 2, 3}) {
    test::as_local_ranks(2, [&](world& here) {
      place at(true);
      rank_learner one(at.ctx, layout, here, {.ranks = 2, .zero = zero, .type = dtype::bf16});
      const double norm = one.update(0, 4);
      const outcome before = one.found({});
      one.learns().begin(4);
      for (const int64_t j : one.learns().order(4)) {
        float* const onto = one.learns().gradients(at.ctx, j);
        const auto done = one.learns().segment_done(at.ctx);
        if (j == 1) {
          const std::vector<float> poison = {std::numeric_limits<float>::quiet_NaN()};
          send(at.ctx, poison, onto);
        }
        for (int64_t s = 3; s >= 0; --s) {
          if (done) {
            done(s);
          }
        }
        one.learns().end_step(at.ctx);
      }
      test::expect_error(errc::not_finite, "update 2",
                         [&] { one.learns().update(at.ctx, one.learned().data(), rate, nullptr); });
      EXPECT_EQ(one.found({}), before) << "rank " << here.rank() << ", ZeRO stage " << zero;
      EXPECT_NE(one.update(100, 4), norm);
      EXPECT_EQ(one.learns().updates(), 2);
    });
  }
}

TEST(CardLearnerMemory, IsGivenBack) {
  const parameter_layout layout = small_layout();
  for (const int zero : {0, 1, 2, 3}) {
    test::as_local_ranks(2, [&](world& here) {
      place at(true);
      const auto held_without_scratch = [&] {
        int64_t bytes = 0;
        for (const memory_use::holder& one : at.card->use().holders) {
          bytes += one.name == "scratch" ? 0 : one.bytes;
        }
        return bytes;
      };
      {
        rank_learner one(at.ctx, layout, here, {.ranks = 2, .zero = zero, .type = dtype::bf16});
        EXPECT_EQ(at.held("policy gradients"), 0) << "before there are any";
        one.update(0, 6);
        EXPECT_EQ(at.held("policy gradients"), 0) << "after an update";
        passes backward(at.ctx, layout);
        accumulate_all(at.ctx, one.learns(), backward, 0, 6);
        EXPECT_GE(at.held("policy gradients"), one.plan().shard_size(here.rank()) * 4);
        one.learns().discard();
        EXPECT_EQ(at.held("policy gradients"), 0) << "after they were dropped";
        EXPECT_GE(at.held("policy moments"), 2 * one.plan().shard_size(here.rank()) * 4);
        if (zero > 0) {
          EXPECT_LT(at.held("policy moments"), 2 * layout.arena_size() * 4);
        }
      }
      EXPECT_EQ(held_without_scratch(), 0);
    });
  }
}

/// Stage 2 with no more micro-batches than lanes: of the arena there are only the segments in use.
TEST(CardLearnerMemory, SegmentsComeAndGo) {
  parameter_layout layout;
  constexpr int64_t segments = 8;
  for (int64_t s = 0; s < segments; ++s) {
    layout.add_matrix("segment " + std::to_string(s), 64, 64);
    layout.begin_segment();
  }
  test::as_local_ranks(2, [&](world& here) {
    place at(true);
    learner learns(layout, layout.segments(), {.lanes = 2, .zero = 2}, here.open("gradients"),
                   {.on = at.ctx.on, .model = "policy"});
    passes backward(at.ctx, layout);
    constexpr int64_t segment_bytes = 64 * 64 * 4;
    int64_t most = 0;
    learns.begin(2);
    for (const int64_t j : learns.order(2)) {
      float* const onto = learns.gradients(at.ctx, j);
      const auto done = learns.segment_done(at.ctx);
      backward.run(at.ctx, j, onto, [&](int64_t s) {
        done(s);
        most = std::max(most, at.held("policy gradients"));
      });
      learns.end_step(at.ctx);
    }
    const int64_t shard = learns.plan()->shard_size(here.rank()) * 4;
    EXPECT_LE(most, shard + 4 * segment_bytes);
    EXPECT_LE(at.held("policy gradients"), shard);
  });
}

TEST(CardLearnerMemory, IsNamedWhereItRunsOut) {
  const parameter_layout layout = small_layout();
  const int64_t arena_bytes = layout.arena_size() * 4;
  const auto make = [&](place& at) {
    return std::make_unique<learner>(layout, layout.segments(), learner_settings{}, nullptr,
                                     learner_place{.on = at.card.get(), .model = "critic"});
  };
  place small(true, arena_bytes);
  test::expect_error(errc::out_of_memory, "critic moments", [&] { make(small); });
  EXPECT_EQ(small.held("critic moments"), 0);
  place larger(true, 5 * arena_bytes / 2 + 8192);
  const auto learns = make(larger);
  test::expect_error(errc::out_of_memory, "critic gradients", [&] { learns->gradients(larger.ctx, 0); });
  EXPECT_EQ(larger.held("critic gradients"), 0);
}

}  // namespace
}  // namespace troupe::engine
