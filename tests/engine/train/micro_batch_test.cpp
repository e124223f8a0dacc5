// One update of each model against float64 reference values (tests/data/tiny/README.md, "rlhf").
#include "base/error.hpp"
#include "engine/models/weights.hpp"
#include "engine/objectives/rows.hpp"
#include "engine/optim/learner.hpp"
#include "engine/train/micro_batch.hpp"
#include "engine/train/scoring.hpp"
#include "support/fixture.hpp"
#include "support/model_fixture.hpp"
#include "support/ppo_fixture.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace troupe::engine {
namespace {

using arena = aligned_buffer<float>;

/// A gradient under the family's own names.
std::map<std::string, std::vector<float>> named(const transformer& net, const arena& values) {
  std::map<std::string, std::vector<float>> all;
  save_weights(net, values.data(),
               [&](host_array a) { all[a.name == "score.weight" ? "v_head.weight" : a.name] = to_float32(a); });
  return all;
}

double norm(const std::vector<float>& x) {
  double sum = 0;
  for (const float v : x) {
    sum += static_cast<double>(v) * v;
  }
  return std::sqrt(sum);
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double sum = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    sum += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
  }
  return std::sqrt(sum);
}

/// Every `tag`.gradnorm.* and `tag`.grad.* of the file against the arena's parameter of that name.
/// The scalar twin has no language-model head, so a head whose gradient is zero may be missing.
void expect_gradients(const test::fixture& f, const std::string& tag, const transformer& net, const arena& gradients) {
  const auto got = named(net, gradients);
  int64_t compared = 0;
  for (const std::string& name : f.names()) {
    const bool whole = name.rfind(tag + ".grad.", 0) == 0;
    if (!whole && name.rfind(tag + ".gradnorm.", 0) != 0) {
      continue;
    }
    const std::string parameter = name.substr(tag.size() + (whole ? 6 : 10));
    const double expected = whole ? norm(f.floats(name)) : f.number(name);
    const auto found = got.find(parameter);
    if (found == got.end()) {
      EXPECT_EQ(expected, 0.0) << parameter << " is missing";
      continue;
    }
    ++compared;
    // Key biases shift all scores of a row alike: their true gradient is 0, and only rounding is
    // left of it.
    const double floor = 1e-6;
    if (whole) {
      EXPECT_LE(distance(found->second, f.floats(name)), 1e-5 * expected + floor) << name;
    } else {
      EXPECT_NEAR(norm(found->second), expected, 1e-5 * expected + floor) << name;
    }
  }
  EXPECT_GT(compared, 20);
}

/// A model with a gradient arena and a workspace.
struct pupil {
  test::loaded_model model;
  arena gradients;
  train_workspace workspace;

  explicit pupil(const std::string& folder, bool scalar_head, bool checkpointing = false)
      : model(test::load_model(folder, scalar_head)), gradients(model.net.layout().arena_size()),
        workspace(checkpointing) {}
  trainee view() { return {model.net, model.weights.data(), gradients.data(), workspace}; }
};

struct MicroBatch : testing::TestWithParam<const char*> {
  thread_pool pool{2};
  context ctx{pool};
  std::string folder = std::string("tiny/") + GetParam();
};

/// DeepSpeed-Chat's padded rows with their pads as tokens, pair by pair. OPT's positions come from
/// the mask: pads have -1.
struct padded_rows {
  packed_batch batch;
  std::vector<int64_t> end_B;

  padded_rows(const test::fixture& f, bool positions_from_mask) {
    const auto shape = f.shape("rm.input_ids");
    const auto ids = f.values<int32_t>("rm.input_ids");
    const auto mask = f.integers("rm.attention_mask");
    const auto ends = f.integers("rm.end_index");
    const int64_t pairs = shape[0] / 2;
    for (int64_t p = 0; p < pairs; ++p) {
      for (int64_t side = 0; side < 2; ++side) {
        const auto first = static_cast<size_t>((side * pairs + p) * shape[1]);
        const auto length = static_cast<size_t>(shape[1]);
        batch.add(std::span(ids).subspan(first, length), 1);
        end_B.push_back(ends[static_cast<size_t>(2 * p + side)]);
        int32_t real = 0;
        for (size_t t = 0; t < length; ++t) {
          const auto counted = static_cast<int32_t>(t);
          real += mask[first + t] != 0 ? 1 : 0;
          const int32_t masked = mask[first + t] != 0 ? real - 1 : -1;
          batch.position_N.push_back(positions_from_mask ? masked : counted);
        }
      }
    }
  }
};

class RewardMicroBatch : public MicroBatch {};

TEST_P(RewardMicroBatch, EndTokenLossAndGradientsAreTheReferences) {
  const test::fixture f(folder + "/rlhf.safetensors");
  const padded_rows rows(f, folder != "tiny/llama");
  const auto pairs = static_cast<double>(rows.batch.sequences() / 2);
  pupil p(folder, true);
  const pair_statistics s = reward_micro_batch(ctx, p.view(), rows.batch, {pair_loss::end_token}, pairs, rows.end_B);
  EXPECT_NEAR(s.mean_loss(), f.number("rm.end.loss"), 1e-5 * f.number("rm.end.loss"));
  expect_gradients(f, "rm.end", p.model.net, p.gradients);
}

/// The pairs of the fixture whose span holds no pad but the identical pair's. DeepSpeed-Chat's mask
/// hides pads from each other and from themselves, which a packed sequence cannot say: scores at
/// pads are compared in pairwise_test, from the fixture's own.
TEST_P(RewardMicroBatch, SpanLossIsTheReferenceAndItsGradientTheSlope) {
  const test::fixture f(folder + "/rlhf.safetensors");
  const padded_rows rows(f, folder != "tiny/llama");
  packed_batch batch;
  for (const size_t b : {0, 1, 4, 5}) {
    const auto first = static_cast<size_t>(rows.batch.offset_B1[b]);
    batch.add(std::span(rows.batch.token_N).subspan(first, static_cast<size_t>(rows.end_B[b])), 1);
  }
  pupil p(folder, true);
  const auto loss = [&](pupil& of) {
    return reward_micro_batch(ctx, of.view(), batch, {pair_loss::span}, 2.0).mean_loss();
  };
  const auto reference = f.doubles("rm.span.pair_loss");
  const double expected = (reference.at(0) + reference.at(2)) / 2;
  EXPECT_NEAR(loss(p), expected, 1e-5 * expected);

  const arena gradient = std::move(p.gradients);
  const double slope = norm({gradient.begin(), gradient.end()});
  ASSERT_GT(slope, 0.01);
  const double step = 5e-4;
  double ends[2] = {0, 0};
  for (const int side : {0, 1}) {
    pupil moved(folder, true);
    for (int64_t i = 0; i < gradient.size(); ++i) {
      moved.model.weights[i] += static_cast<float>((side == 0 ? -step : step) * gradient[i] / slope);
    }
    ends[side] = loss(moved);
  }
  EXPECT_NEAR((ends[1] - ends[0]) / (2 * step), slope, 1e-3 * slope);
}

INSTANTIATE_TEST_SUITE_P(Families, RewardMicroBatch, testing::Values("llama", "opt", "opt_postln"));

/// The fixture's rollout without its left pads; a pad after the answer stays, as a token to
/// predict.
packed_batch rollout(const test::ppo_fixture& f) {
  const auto ids = f.file.values<int32_t>("ppo.input_ids");
  const auto mask = f.file.integers("ppo.attention_mask");
  packed_batch batch;
  for (int64_t b = 0; b < f.rows; ++b) {
    const int64_t answer = f.offset_B1[static_cast<size_t>(b + 1)] - f.offset_B1[static_cast<size_t>(b)];
    int64_t start = 0;
    while (mask[static_cast<size_t>(b * f.length + start)] == 0) {
      ++start;
    }
    const int64_t prompt = f.first + 1 - start;
    batch.add(std::span(ids).subspan(static_cast<size_t>(b * f.length + start), static_cast<size_t>(prompt + answer)),
              prompt);
  }
  return batch;
}

class PpoMicroBatch : public MicroBatch {
protected:
  test::ppo_fixture f{folder + "/rlhf.safetensors", "ppo.", "ppo."};
  packed_batch batch = rollout(f);
  std::vector<double> weight =
      answer_weights(loss_mean::token, count_answers(f.offset_B1, f.counts), f.offset_B1, f.counts);
  std::vector<float> old = f.answers("ppo.old_logprobs");
  std::vector<float> ref = f.answers("ppo.ref_logprobs");
  std::vector<float> advantage = f.advantages("ppo.advantages");
  std::vector<float> old_value = f.answers("ppo.values_masked");
  std::vector<float> target = f.advantages("ppo.returns");
};

TEST_P(PpoMicroBatch, ScoresAreTheReferences) {
  const pupil actor(folder, false), critic(folder, true);
  const auto logprob = answer_log_probs(ctx, actor.model.net, actor.model.weights.data(), batch, 1.0F);
  const auto value = answer_values(ctx, critic.model.net, critic.model.weights.data(), batch);
  const auto expected_logprob = f.answers("ppo.new_logprobs");
  const auto expected_value = f.answers("ppo.new_values");
  for (size_t a = 0; a < f.counts.size(); ++a) {
    if (f.counts[a] != 0) {
      EXPECT_NEAR(logprob[a], expected_logprob[a], 2e-5) << "at " << a;
      EXPECT_NEAR(value[a], expected_value[a], 2e-5) << "at " << a;
    }
  }
}

TEST_P(PpoMicroBatch, PolicyLossAndGradientsAreTheReferences) {
  pupil actor(folder, false);
  const policy_statistics s = policy_micro_batch(ctx, actor.view(), batch, {}, {old, ref, advantage, weight});
  const double expected = f.file.number("ppo.policy_loss");
  EXPECT_NEAR(s.loss, expected, 1e-5 * std::abs(expected));
  EXPECT_NEAR(s.clip_fraction(), f.file.number("ppo.clip_fraction"), 1e-12);
  expect_gradients(f.file, "ppo.actor", actor.model.net, actor.gradients);
}

TEST_P(PpoMicroBatch, CriticLossAndGradientsAreTheReferences) {
  pupil critic(folder, true);
  const value_statistics s = critic_micro_batch(ctx, critic.view(), batch, {}, {old_value, target, weight});
  const double expected = f.file.number("ppo.value_loss");
  EXPECT_NEAR(s.loss, expected, 1e-5 * std::abs(expected));
  expect_gradients(f.file, "ppo.critic", critic.model.net, critic.gradients);
}

/// Sequence b of the batch alone, and its part of an array over the answers.
struct one_sequence {
  packed_batch batch;
  size_t first, count;

  one_sequence(const packed_batch& all, std::span<const int64_t> answer_offset, size_t b)
      : first(static_cast<size_t>(answer_offset[b])),
        count(static_cast<size_t>(answer_offset[b + 1] - answer_offset[b])) {
    batch.add(std::span(all.token_N)
                  .subspan(static_cast<size_t>(all.offset_B1[b]),
                           static_cast<size_t>(all.offset_B1[b + 1] - all.offset_B1[b])),
              all.prompt_length_B[b]);
  }
  template <class T> std::span<const T> part(const std::vector<T>& all) const {
    return std::span(all).subspan(first, count);
  }
};

TEST_P(PpoMicroBatch, GradientsOfMicroBatchesAddUpWithAndWithoutCheckpointing) {
  pupil whole(folder, false), parts(folder, false, true);
  const policy_settings settings{0.2, 0.2, 0.01, 0.05, kl_estimator::k3};
  const policy_statistics all = policy_micro_batch(ctx, whole.view(), batch, settings, {old, ref, advantage, weight});
  policy_statistics sum;
  for (size_t b = 0; b < static_cast<size_t>(f.rows); ++b) {
    const one_sequence one(batch, f.offset_B1, b);
    sum.add(policy_micro_batch(ctx, parts.view(), one.batch, settings,
                               {one.part(old), one.part(ref), one.part(advantage), one.part(weight)}));
  }
  EXPECT_NEAR(sum.loss, all.loss, 1e-12);
  EXPECT_EQ(sum.tokens, all.tokens);
  const auto expected = named(whole.model.net, whole.gradients);
  for (const auto& [name, got] : named(parts.model.net, parts.gradients)) {
    EXPECT_LE(distance(got, expected.at(name)), 5e-6 * norm(expected.at(name)) + 1e-7) << name;
  }
}

TEST_P(PpoMicroBatch, TheFirstUpdateComputesTheLogProbsOfScoringToTheLastBit) {
  pupil actor(folder, false);
  const auto logprob = answer_log_probs(ctx, actor.model.net, actor.model.weights.data(), batch, 0.7F);
  const policy_statistics s = policy_micro_batch(ctx, actor.view(), batch, {}, {logprob, {}, advantage, weight, 0.7F});
  EXPECT_EQ(s.different, 0);
  EXPECT_EQ(s.ratio_max, 1.0);
}

TEST_P(PpoMicroBatch, ThreeUpdatesEndAtTheReferences) {
  pupil p(folder, false);
  adamw_settings settings;
  settings.weight_decay = 0.1;
  learner learns(p.model.net.layout(), settings);
  for (int64_t k = 0; k < 3; ++k) {
    const std::string step = "adamw." + std::to_string(k) + ".";
    const auto shape = f.file.shape(step + "input_ids");
    const auto ids = f.file.values<int32_t>(step + "input_ids");
    const auto mask = f.file.integers(step + "attention_mask");
    const auto labels = f.file.integers(step + "labels");
    packed_batch text;
    for (int64_t b = 0; b < shape[0]; ++b) {
      std::vector<int32_t> tokens;
      for (int64_t i = b * shape[1]; i < (b + 1) * shape[1]; ++i) {
        if (mask[static_cast<size_t>(i)] != 0) {
          tokens.push_back(ids[static_cast<size_t>(i)]);
          ASSERT_GE(labels[static_cast<size_t>(i)], 0) << "every token counts";
        }
      }
      text.add(tokens, 1);
    }
    const prediction_rows rows = answer_rows(text.token_N, text.offset_B1, text.prompt_length_B);
    const trainee model{p.model.net, p.model.weights.data(), learns.gradients(ctx, 0), p.workspace};
    const lm_statistics s = sft_micro_batch(ctx, model, text, {static_cast<double>(rows.size()), 1.0});
    EXPECT_NEAR(s.weighted_loss, f.file.number(step + "loss"), 1e-5 * s.weighted_loss) << step;
    const update_report report = learns.update(ctx, p.model.weights.data(), f.file.number("adamw.lr"));
    EXPECT_NEAR(report.gradient_norm, f.file.number(step + "grad_norm"), 1e-5 * report.gradient_norm) << step;
  }
  for (const auto& [name, got] : named(p.model.net, p.model.weights)) {
    // A key bias has no gradient but rounding, which AdamW blows up to the learning rate; it
    // changes nothing.
    const bool key_bias = name.find("k_proj.bias") != std::string::npos;
    if (f.file.has("adamw.param." + name) && !key_bias) {
      const auto expected = f.file.floats("adamw.param." + name);
      EXPECT_LE(distance(got, expected), 1e-5 * norm(expected)) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, PpoMicroBatch, testing::Values("llama", "opt"));

TEST(MicroBatches, AreFormedInOrderWithinTheBudget) {
  const std::vector<int64_t> tokens{5, 5, 20, 1, 2, 3, 4};
  std::vector<std::pair<int64_t, int64_t>> runs;
  for (const item_run& r : form_micro_batches(tokens, 10, 1)) {
    runs.emplace_back(r.first, r.last);
  }
  EXPECT_EQ(runs, (std::vector<std::pair<int64_t, int64_t>>{{0, 2}, {2, 3}, {3, 7}}));
  EXPECT_TRUE(form_micro_batches({}, 10, 4).empty());
  EXPECT_THROW(form_micro_batches(tokens, 0, 1), error);
  EXPECT_THROW(form_micro_batches(tokens, 10, 0), error);
}

/// The tokens of those who take every shares-th run.
static std::vector<int64_t> loads(std::span<const int64_t> tokens, int64_t budget, int64_t shares) {
  std::vector<int64_t> by_share(static_cast<size_t>(shares));
  size_t next = 0;
  for (const item_run& r : form_micro_batches(tokens, budget, shares)) {
    for (int64_t i = r.first; i < r.last; ++i) {
      by_share[next % by_share.size()] += tokens[static_cast<size_t>(i)];
    }
    ++next;
  }
  return by_share;
}

TEST(MicroBatches, SharesGetAboutTheSameTokens) {
  // 32 texts of about 95 tokens: two micro-batches would do, and leave two of four shares with nothing.
  std::vector<int64_t> tokens;
  for (int64_t i = 0; i < 32; ++i) {
    tokens.push_back(80 + i * 7 % 30);
  }
  EXPECT_EQ(form_micro_batches(tokens, 2048, 1).size(), 2U);
  const std::vector<int64_t> four = loads(tokens, 2048, 4);
  EXPECT_LT(*std::max_element(four.begin(), four.end()) - *std::min_element(four.begin(), four.end()), 2 * 110);
  // Nine would do, and give one of eight shares twice the work of the others: 2000 tokens.
  const std::vector<int64_t> many(90, 100);
  EXPECT_EQ(form_micro_batches(many, 1000, 1).size(), 9U);
  const std::vector<int64_t> eight = loads(many, 1000, 8);
  EXPECT_EQ(*std::max_element(eight.begin(), eight.end()), 1200);
}

TEST(MicroBatches, OfAnyLengthsAreWholeInOrderAndWithinTheBudget) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<int64_t> tokens(random() % 40);
    for (int64_t& one : tokens) {
      one = 1 + static_cast<int64_t>(random() % 300);
    }
    const auto budget = 1 + static_cast<int64_t>(random() % 1000);
    const auto shares = 1 + static_cast<int64_t>(random() % 9);
    int64_t next = 0;
    for (const item_run& r : form_micro_batches(tokens, budget, shares)) {
      EXPECT_EQ(r.first, next);
      EXPECT_GT(r.last, r.first);
      const int64_t sum = std::accumulate(tokens.begin() + r.first, tokens.begin() + r.last, int64_t{0});
      EXPECT_TRUE(sum <= budget || r.last == r.first + 1);
      next = r.last;
    }
    EXPECT_EQ(next, static_cast<int64_t>(tokens.size()));
    const size_t fewest = form_micro_batches(tokens, budget, 1).size();
    EXPECT_LT(form_micro_batches(tokens, budget, shares).size(), fewest + static_cast<size_t>(shares));
  }
}

TEST(MicroBatches, EmptyAnswersAddNothing) {
  thread_pool pool(1);
  context ctx{pool};
  pupil p("tiny/llama", false);
  packed_batch batch;
  batch.add(std::vector<int32_t>{5, 6, 7}, 3);
  EXPECT_EQ(policy_micro_batch(ctx, p.view(), batch, {}, {}).tokens, 0);
  EXPECT_EQ(sft_micro_batch(ctx, p.view(), batch, {0.0, 1.0}).tokens, 0);
  EXPECT_EQ(norm({p.gradients.begin(), p.gradients.end()}), 0.0);
}

TEST(MicroBatches, TheWrongHeadIsAnError) {
  thread_pool pool(1);
  context ctx{pool};
  pupil policy("tiny/llama", false), critic("tiny/llama", true);
  packed_batch batch;
  batch.add(std::vector<int32_t>{5, 6, 7}, 1);
  EXPECT_THROW(sft_micro_batch(ctx, critic.view(), batch, {2.0, 1.0}), error);
  EXPECT_THROW(reward_micro_batch(ctx, policy.view(), batch, {}, 1.0), error);
  EXPECT_THROW(end_scores(ctx, policy.model.net, policy.model.weights.data(), batch), error);
}

}  // namespace
}  // namespace troupe::engine
