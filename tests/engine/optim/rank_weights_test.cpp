// Sharded weights: passes over them have the bits of passes over whole ones; what they fetch, and what stays in memory.
#include "base/error.hpp"
#include "base/random.hpp"
#include "engine/models/weights.hpp"
#include "engine/optim/average.hpp"
#include "engine/optim/rank_weights.hpp"
#include "engine/train/micro_batch.hpp"
#include "engine/train/scoring.hpp"
#include "support/local_ranks.hpp"
#include "support/model_fixture.hpp"
#include "support/random_model.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>

namespace troupe::engine {
namespace {

void as_ranks(int ranks, const std::function<void(world&)>& body) {
  test::as_local_ranks(ranks, body, std::chrono::seconds(20));
}

packed_batch some_text(int64_t vocabulary, uint64_t stream) {
  packed_batch batch;
  for (const int64_t length : {3, 9, 6}) {
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < length; ++i) {
      const random_key key{5, stream + static_cast<uint64_t>(length)};
      tokens.push_back(static_cast<int32_t>(std::abs(random_normal(key, static_cast<uint64_t>(i))) * 1000) %
                       static_cast<int32_t>(vocabulary));
    }
    batch.add(tokens, 2);
  }
  return batch;
}

/// A model of tests/data whose weights the ranks of a world share.
struct shared_model {
  explicit shared_model(world& here, const std::string& path, bool scalar_head = false)
      : whole(test::load_model(path, scalar_head)), weights(whole.weights.size()) {
    std::copy(whole.weights.begin(), whole.weights.end(), weights.begin());
    weights.shard(std::make_shared<shard_plan>(whole.net.layout(), whole.net.segments(), here.size()),
                  here.open("weights"));
  }
  int64_t sent_floats() const { return weights.group()->sent().gathered / 4; }
  /// Floats of this rank's part of a segment.
  int64_t part(int64_t segment) const { return weights.plan()->part(segment, weights.group()->rank()).size(); }
  /// Floats that others hold of the two neighbouring segments of which they hold the most.
  int64_t two_segments() const {
    const shard_plan& plan = *weights.plan();
    int64_t two = 0;
    for (int64_t s = 0; s + 1 < plan.segments(); ++s) {
      two = std::max(two, plan.segment(s).size() - part(s) + plan.segment(s + 1).size() - part(s + 1));
    }
    return two;
  }

  test::loaded_model whole;
  rank_weights weights;
};

/// All tensors of a file, one after another.
std::vector<float> saved(const transformer& net, const float* weights, const std::function<void()>& enter = {}) {
  std::vector<float> values;
  const auto keep = [&values](const host_array& tensor) {
    const std::vector<float> one = to_float32(tensor);
    values.insert(values.end(), one.begin(), one.end());
  };
  save_weights(net, weights, keep, enter);
  return values;
}

class SharedWeights : public testing::TestWithParam<std::tuple<const char*, int>> {};

TEST_P(SharedWeights, ScoreAsWholeOnes) {
  const auto [path, ranks] = GetParam();
  as_ranks(ranks, [&](world& here) {
    thread_pool pool(1);
    context ctx{pool};
    shared_model m(here, path);
    const transformer& net = m.whole.net;
    gathered_weights in_use(m.weights);
    // The last rank has no text in the end, and passes the weights by.
    const auto rank = static_cast<uint64_t>(here.rank());
    for (const uint64_t round : {0, 1}) {
      const bool nothing = round == 1 && here.rank() == here.size() - 1;
      const packed_batch batch = nothing ? packed_batch() : some_text(net.description().vocabulary, 100 * rank + round);
      EXPECT_EQ(answer_log_probs(ctx, net, in_use.view(), batch, 0.7F),
                answer_log_probs(ctx, net, m.whole.weights.data(), batch, 0.7F));
    }
  });
}

TEST_P(SharedWeights, HaveTheGradientsOfWholeOnes) {
  const auto [path, ranks] = GetParam();
  for (const bool checkpointing : {false, true}) {
    as_ranks(ranks, [&](world& here) {
      thread_pool pool(1);
      context ctx{pool};
      shared_model m(here, path);
      const transformer& net = m.whole.net;
      const packed_batch batch = some_text(net.description().vocabulary, static_cast<uint64_t>(here.rank()));
      const auto gradients_by = [&](const weights_view& weights) {
        aligned_buffer<float> gradients(net.layout().arena_size());
        train_workspace workspace(checkpointing);
        sft_micro_batch(ctx, {net, weights, gradients.data(), workspace}, batch, {10.0, 1.0});
        return std::vector<float>(gradients.begin(), gradients.end());
      };
      gathered_weights in_use(m.weights);
      EXPECT_EQ(gradients_by(in_use.view()), gradients_by(m.whole.weights.data()));
    });
  }
}

TEST_P(SharedWeights, AreFetchedAsOftenAsTheHeaderSays) {
  const auto [path, ranks] = GetParam();
  as_ranks(ranks, [&, ranks = ranks](world& here) {
    thread_pool pool(1);
    context ctx{pool};
    shared_model m(here, path);
    const model_description& d = m.whole.description();
    const packed_batch batch = some_text(d.vocabulary, 3);
    const int64_t all = m.weights.plan()->shard_size(here.rank());
    const bool tied = m.whole.net.head_segment() == 0;
    {
      gathered_weights in_use(m.weights);
      answer_log_probs(ctx, m.whole.net, in_use.view(), batch, 1.0F);
    }
    const int64_t scoring = m.sent_floats();
    EXPECT_EQ(scoring, (ranks - 1) * (all + (tied ? m.part(0) : 0)));
    {
      gathered_weights in_use(m.weights);
      aligned_buffer<float> gradients(m.weights.size());
      train_workspace workspace;
      sft_micro_batch(ctx, {m.whole.net, in_use.view(), gradients.data(), workspace}, batch, {10.0, 1.0});
    }
    const int64_t kept = tied ? 0 : m.part(0) + m.part(d.layers) + m.part(d.layers + 1);
    const int64_t projected = d.embedding_norm || d.embedding_width != d.width ? m.part(0) : 0;
    EXPECT_EQ(m.sent_floats() - scoring, (ranks - 1) * (2 * all - kept + projected));
    {
      gathered_weights in_use(m.weights);
      train_workspace workspace;
      const int64_t before = m.sent_floats();
      idle_micro_batch(ctx, {m.whole.net, in_use.view(), nullptr, workspace});
      EXPECT_EQ(m.sent_floats() - before, (ranks - 1) * (2 * all - kept + projected)) << "without anything to learn";
    }
  });
}

TEST_P(SharedWeights, AreSavedAsWholeOnesSegmentBySegment) {
  const auto [path, ranks] = GetParam();
  as_ranks(ranks, [&, ranks = ranks](world& here) {
    thread_pool pool(1);
    context ctx{pool};
    shared_model m(here, path);
    gathered_weights in_use(m.weights);
    segment_walk walk(ctx, in_use.view().access, 0, m.weights.plan()->segments() - 1);
    EXPECT_EQ(saved(m.whole.net, in_use.view().data, [&walk] { walk.enter_next(); }),
              saved(m.whole.net, m.whole.weights.data()));
    EXPECT_LE(in_use.peak_bytes(), m.two_segments() * 4);
    EXPECT_EQ(m.sent_floats(), (ranks - 1) * m.weights.plan()->shard_size(here.rank()));
  });
}

TEST_P(SharedWeights, NeverHaveMoreThanTwoSegmentsBesideTheShard) {
  const auto [path, ranks] = GetParam();
  as_ranks(ranks, [&](world& here) {
    thread_pool pool(1);
    context ctx{pool};
    shared_model m(here, path);
    const int64_t two = m.two_segments();
    gathered_weights in_use(m.weights);
    aligned_buffer<float> gradients(m.weights.size());
    train_workspace workspace;
    const packed_batch batch = some_text(m.whole.description().vocabulary, 3);
    for (int micro_batch = 0; micro_batch < 2; ++micro_batch) {
      sft_micro_batch(ctx, {m.whole.net, in_use.view(), gradients.data(), workspace}, batch, {10.0, 1.0});
    }
    EXPECT_EQ(in_use.peak_bytes(), two * 4);
  });
}

INSTANTIATE_TEST_SUITE_P(Families, SharedWeights,
                         testing::Combine(testing::Values("tiny/gpt2", "tiny/llama", "tiny/opt", "tiny/opt_postln",
                                                          "tiny/bloom"),
                                          testing::Values(3)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)).substr(5) + "_" +
                                  std::to_string(std::get<1>(info.param)) + "ranks";
                         });

TEST(SharedWeightsOfACritic, HaveTheValuesAndGradientsOfWholeOnes) {
  as_ranks(2, [](world& here) {
    thread_pool pool(1);
    context ctx{pool};
    shared_model m(here, "tiny/opt", true);
    const transformer& net = m.whole.net;
    const bool idle = here.rank() == 1;
    const packed_batch batch = idle ? packed_batch() : some_text(net.description().vocabulary, 1);
    const std::vector<float> old_A(static_cast<size_t>(idle ? 0 : 3 + 9 + 6 - 3 * 2), 0.1F);
    const std::vector<double> weight_A(old_A.size(), 0.1);
    const auto learn = [&](const weights_view& weights) {
      aligned_buffer<float> gradients(net.layout().arena_size());
      train_workspace workspace;
      critic_micro_batch(ctx, {net, weights, gradients.data(), workspace}, batch, {}, {old_A, old_A, weight_A});
      return std::vector<float>(gradients.begin(), gradients.end());
    };
    gathered_weights in_use(m.weights);
    EXPECT_EQ(answer_values(ctx, net, in_use.view(), batch), answer_values(ctx, net, m.whole.weights.data(), batch));
    EXPECT_EQ(end_scores(ctx, net, in_use.view(), batch), end_scores(ctx, net, m.whole.weights.data(), batch));
    EXPECT_EQ(learn(in_use.view()), learn(m.whole.weights.data()));
  });
}

/// Bytes of a range's pages that are in memory.
int64_t resident_bytes(const float* first, int64_t floats) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto from = reinterpret_cast<uintptr_t>(first) / page * page;
  const auto to = reinterpret_cast<uintptr_t>(first + floats);
  std::vector<unsigned char> pages((to - from + page - 1) / page);
  EXPECT_EQ(::mincore(reinterpret_cast<void*>(from), to - from, pages.data()), 0);
  const auto there = std::count_if(pages.begin(), pages.end(), [](unsigned char one) { return (one & 1U) != 0; });
  return static_cast<int64_t>(there) * static_cast<int64_t>(page);
}

/// Large enough for its parts to be many pages.
test::random_model wide_model() {
  model_description d = test::load_model("tiny/llama").description();
  d.layers = 6;
  d.width = d.embedding_width = 256;
  d.feed_forward = 512;
  d.heads = d.kv_heads = 4;
  d.head_width = 64;
  return test::make_random_model(d, 1);
}

/// Where the system gives huge pages to whoever asks for none, more than what is counted here would be in memory.
void count_small_pages(rank_weights& weights) {
  ::madvise(weights.data(), static_cast<size_t>(weights.size()) * sizeof(float), MADV_NOHUGEPAGE);
}

/// A page at each end of each part, and at the ends of segments, is shared with what was given back.
int64_t edge_bytes(const shard_plan& plan) { return 3 * plan.segments() * ::sysconf(_SC_PAGESIZE); }

TEST(SharedWeightsMemory, IsTheShardsBetweenUses) {
  const test::random_model whole = wide_model();
  as_ranks(4, [&whole](world& here) {
    thread_pool pool(1);
    context ctx{pool};
    rank_weights weights(whole.net.layout().arena_size());
    count_small_pages(weights);
    std::copy(whole.weights.begin(), whole.weights.end(), weights.begin());
    EXPECT_GE(resident_bytes(weights.data(), weights.size()), weights.size() * 4);
    const auto plan = std::make_shared<shard_plan>(whole.net.layout(), whole.net.segments(), here.size());
    weights.shard(plan, here.open("weights"));
    const int64_t edges = edge_bytes(*plan);
    const int64_t shard = plan->shard_size(here.rank()) * 4;
    EXPECT_LE(resident_bytes(weights.data(), weights.size()), shard + edges);
    {
      gathered_weights in_use(weights);
      answer_log_probs(ctx, whole.net, in_use.view(), some_text(whole.net.description().vocabulary, 1), 1.0F);
      EXPECT_LE(resident_bytes(weights.data(), weights.size()), shard + in_use.peak_bytes() + edges);
      in_use.hold_all(ctx);
      EXPECT_TRUE(std::equal(weights.begin(), weights.end(), whole.weights.begin()));
    }
    EXPECT_LE(resident_bytes(weights.data(), weights.size()), shard + edges);
    EXPECT_GE(resident_bytes(weights.data(), weights.size()), shard);
  });
}

/// Never a whole arena: not when it starts, nor when it is folded, nor while it is written.
TEST(SharedWeightsMemory, OfAnAverageIsItsShardAndTwoSegments) {
  const test::random_model whole = wide_model();
  const int64_t arena = whole.net.layout().arena_size() * 4;
  as_ranks(4, [&](world& here) {
    thread_pool pool(1);
    context ctx{pool};
    const auto plan = std::make_shared<shard_plan>(whole.net.layout(), whole.net.segments(), here.size());
    const communicator_ptr group = here.open("average");
    weight_average average(plan, group, whole.weights.data(), 0.5);
    rank_weights& weights = average.weights();
    const int64_t shard = plan->shard_size(here.rank()) * 4;
    average.fold(ctx, whole.weights.data());
    EXPECT_LE(resident_bytes(weights.data(), weights.size()), shard + edge_bytes(*plan));
    int64_t most = 0;
    {
      gathered_weights in_use(weights);
      segment_walk walk(ctx, in_use.view().access, 0, plan->segments() - 1);
      const auto look = [&](const host_array&) {
        most = std::max(most, resident_bytes(weights.data(), weights.size()));
      };
      save_weights(whole.net, in_use.view().data, look, [&walk] { walk.enter_next(); });
      EXPECT_LE(most, shard + in_use.peak_bytes() + edge_bytes(*plan));
    }
    EXPECT_LT(most, arena * 2 / 3);
    EXPECT_EQ(group->sent().gathered, (here.size() - 1) * shard) << "each segment once";
    EXPECT_LE(resident_bytes(weights.data(), weights.size()), shard + edge_bytes(*plan));
  });
}

TEST(SharedWeightsErrors, TwoUsesAtATimeAndForeignPlansAreRefused) {
  as_ranks(2, [](world& here) {
    shared_model m(here, "tiny/llama");
    const gathered_weights first(m.weights);
    EXPECT_THROW(gathered_weights(m.weights), error);
    const test::loaded_model other = test::load_model("tiny/gpt2");
    rank_weights weights(other.weights.size());
    EXPECT_THROW(weights.shard(m.weights.plan(), m.weights.group()), error);
  });
}

}  // namespace
}  // namespace troupe::engine
