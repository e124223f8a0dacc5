/// A row's bits depend on nothing but its own sequence: not on the batch, the threads, the way the
/// sequence was split into calls, nor on whether activations are kept. This is what "the policy
/// that samples is the policy that learns" rests on.
#include "base/random.hpp"
#include "base/thread_pool.hpp"
#include "engine/models/transformer.hpp"
#include "support/model_fixture.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace troupe::engine {
namespace {

using test::hidden_of;
using test::load_model;
using test::loaded_model;
using test::test_cache;

/// Sequences of lengths around a page's 64 positions, one of them of a single token.
const std::vector<int64_t> lengths{70, 1, 33, 64, 100};

std::vector<std::vector<int32_t>> random_sequences() {
  std::vector<std::vector<int32_t>> sequences;
  for (size_t b = 0; b < lengths.size(); ++b) {
    for (int64_t i = 0; i < lengths[b]; ++i) {
      const double u = random_uniform({.seed = 7, .stream = b}, static_cast<uint64_t>(i));
      sequences.resize(b + 1);
      sequences[b].push_back(static_cast<int32_t>(u * 512));
    }
  }
  return sequences;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

class TransformerInvariance : public testing::TestWithParam<const char*> {
protected:
  std::vector<float> alone(context& ctx, const std::vector<int32_t>& tokens) const {
    const std::vector<int64_t> offset{0, static_cast<int64_t>(tokens.size())};
    return hidden_of(ctx, model_.net, model_.weights.data(),
                     {.token_N = tokens, .offset_B1 = offset, .position_N = {}});
  }

  struct packed {
    std::vector<int32_t> token;
    std::vector<int64_t> offset{0};
    token_batch batch() const { return {.token_N = token, .offset_B1 = offset, .position_N = {}}; }
  };

  packed pack_all() const {
    packed all;
    for (const auto& sequence : sequences_) {
      all.token.insert(all.token.end(), sequence.begin(), sequence.end());
      all.offset.push_back(static_cast<int64_t>(all.token.size()));
    }
    return all;
  }

  /// Rows of sequence b within the packed hidden states.
  std::span<const float> rows(const std::vector<float>& hidden, const packed& all, size_t b) const {
    const int64_t width = model_.description().embedding_width;
    return std::span(hidden).subspan(static_cast<size_t>(all.offset[b] * width),
                                     sequences_[b].size() * static_cast<size_t>(width));
  }

  loaded_model model_ = load_model(GetParam());
  std::vector<std::vector<int32_t>> sequences_ = random_sequences();
};

TEST_P(TransformerInvariance, OfBatchAndThreads) {
  const packed all = pack_all();
  for (int threads = 1; threads <= 3; ++threads) {
    thread_pool pool(threads);
    context ctx{pool};
    const std::vector<float> hidden = hidden_of(ctx, model_.net, model_.weights.data(), all.batch());
    thread_pool one(1);
    context ctx_of_one{one};
    for (size_t b = 0; b < sequences_.size(); ++b) {
      EXPECT_TRUE(same_bits(rows(hidden, all, b), alone(ctx_of_one, sequences_[b])))
          << threads << " threads, sequence " << b;
    }
  }
}

/// More tokens than one pass takes: the forward runs them in groups of sequences.
TEST_P(TransformerInvariance, OfGroupsOfALargeBatch) {
  thread_pool pool(2);
  context ctx{pool};
  packed many;
  std::vector<size_t> which;
  while (many.token.size() < 2500) {
    which.push_back(which.size() % sequences_.size());
    const auto& sequence = sequences_[which.back()];
    many.token.insert(many.token.end(), sequence.begin(), sequence.end());
    many.offset.push_back(static_cast<int64_t>(many.token.size()));
  }
  const std::vector<float> hidden = hidden_of(ctx, model_.net, model_.weights.data(), many.batch());
  const auto width = static_cast<size_t>(model_.description().embedding_width);
  for (size_t i = 0; i < which.size(); ++i) {
    const std::vector<float> expected = alone(ctx, sequences_[which[i]]);
    const auto first = static_cast<size_t>(many.offset[i]) * width;
    EXPECT_TRUE(same_bits(std::span(hidden).subspan(first, expected.size()), expected)) << "sequence " << i;
  }
}

TEST_P(TransformerInvariance, OfKeepingActivations) {
  thread_pool pool(2);
  context ctx{pool};
  const packed all = pack_all();
  const std::vector<float> plain = hidden_of(ctx, model_.net, model_.weights.data(), all.batch());
  for (const bool checkpointing : {false, true}) {
    saved_activations saved(checkpointing);
    std::vector<float> kept(plain.size());
    model_.net.forward(ctx, model_.weights.data(), all.batch(), kept.data(), saved);
    EXPECT_TRUE(same_bits(plain, kept));
  }
}

TEST_P(TransformerInvariance, OfGradientsUnderThreadsAndCheckpointing) {
  const packed all = pack_all();
  const auto count = static_cast<size_t>(all.batch().tokens() * model_.description().embedding_width);
  aligned_buffer<float> reference;
  for (int threads = 1; threads <= 3; ++threads) {
    for (const bool checkpointing : {false, true}) {
      thread_pool pool(threads);
      context ctx{pool};
      saved_activations saved(checkpointing);
      std::vector<float> hidden(count);
      std::vector<float> dhidden(count);
      for (size_t i = 0; i < count; ++i) {
        dhidden[i] = static_cast<float>(random_normal({.seed = 3}, i));
      }
      aligned_buffer<float> gradients(model_.net.layout().arena_size());
      model_.net.forward(ctx, model_.weights.data(), all.batch(), hidden.data(), saved);
      model_.net.backward(ctx, model_.weights.data(), all.batch(), saved, dhidden.data(), gradients.data());
      if (reference.empty()) {
        reference = std::move(gradients);
      } else {
        EXPECT_TRUE(same_bits(reference.span(), gradients.span()))
            << threads << " threads, checkpointing " << checkpointing;
      }
    }
  }
}

/// Feeds all sequences through the cache: in call c, sequence b gets the next `chunk(b, c)` of its
/// tokens.
template <class Chunk> class paged_run {
public:
  paged_run(context& ctx, const loaded_model& model, const std::vector<std::vector<int32_t>>& sequences, Chunk chunk)
      : ctx_(ctx), model_(model), sequences_(sequences), chunk_(chunk), cache_(model.description(), 16),
        hidden_(sequences.size()), done_(sequences.size()) {}

  /// Hidden states of each sequence's rows.
  std::vector<std::vector<float>> run() {
    for (int64_t call = 0; one_call(call); ++call) {
    }
    return hidden_;
  }

private:
  bool one_call(int64_t call) {
    std::vector<int32_t> token;
    std::vector<size_t> which;
    cache_.begin_call();
    for (size_t b = 0; b < sequences_.size(); ++b) {
      const auto left = static_cast<int64_t>(sequences_[b].size()) - done_[b];
      const int64_t rows = std::min<int64_t>(left, chunk_(b, call));
      if (rows == 0) {
        continue;
      }
      cache_.grow(static_cast<int64_t>(b), rows);
      which.push_back(b);
      for (int64_t i = 0; i < rows; ++i, ++done_[b]) {
        token.push_back(sequences_[b][static_cast<size_t>(done_[b])]);
      }
    }
    if (!token.empty()) {
      extend(token, which);
    }
    return !token.empty();
  }

  void extend(const std::vector<int32_t>& token, const std::vector<size_t>& which) {
    const auto width = static_cast<size_t>(model_.description().embedding_width);
    std::vector<float> out(token.size() * width);
    const kernels::page_map where = cache_.where();
    model_.net.extend(ctx_, model_.weights.data(), {.token_N = token, .where = where, .pages_L = cache_.pages()},
                      out.data());
    for (size_t i = 0; i < which.size(); ++i) {
      const auto row_of = [&](size_t s) { return out.data() + static_cast<size_t>(where.row_S1[s]) * width; };
      hidden_[which[i]].insert(hidden_[which[i]].end(), row_of(i), row_of(i + 1));
    }
  }

  context& ctx_;
  const loaded_model& model_;
  const std::vector<std::vector<int32_t>>& sequences_;
  Chunk chunk_;
  test_cache cache_;
  std::vector<std::vector<float>> hidden_;
  std::vector<int64_t> done_;
};

TEST_P(TransformerInvariance, OfTheSplitIntoCalls) {
  using chunk_rule = int64_t (*)(size_t, int64_t);
  const std::pair<const char*, chunk_rule> rules[] = {
      {"whole prompts", [](size_t, int64_t) -> int64_t { return 1000; }},
      {"a prefill of 40, then one by one", [](size_t, int64_t call) -> int64_t { return call == 0 ? 40 : 1; }},
      {"chunks of 17", [](size_t, int64_t) -> int64_t { return 17; }},
      {"sequences that enter later, in chunks of their own",
       [](size_t b, int64_t call) -> int64_t {
         return call < static_cast<int64_t>(b) ? 0 : 1 + static_cast<int64_t>(b) * 9;
       }},
  };
  for (int threads = 1; threads <= 3; ++threads) {
    thread_pool pool(threads);
    context ctx{pool};
    for (const auto& [name, rule] : rules) {
      const auto hidden = paged_run(ctx, model_, sequences_, rule).run();
      for (size_t b = 0; b < sequences_.size(); ++b) {
        EXPECT_TRUE(same_bits(hidden[b], alone(ctx, sequences_[b])))
            << name << ", " << threads << " threads, sequence " << b;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, TransformerInvariance,
                         testing::Values("tiny/opt", "tiny/opt_postln", "tiny/gpt2", "tiny/llama", "tiny/llama3",
                                         "tiny/qwen2", "tiny/gpt_neox", "tiny/bloom", "stories260k"),
                         [](const auto& info) {
                           const std::string path = info.param;
                           return path.substr(path.find('/') + 1);
                         });

}  // namespace
}  // namespace troupe::engine
