/// Every family against reference values that PyTorch computed in float64
/// (tests/data/tiny/README.md).
#include "base/thread_pool.hpp"
#include "engine/models/family.hpp"
#include "engine/models/transformer.hpp"
#include "engine/models/weights.hpp"
#include "io/json/json_keys.hpp"
#include "kernels/log_prob.hpp"
#include "support/model_fixture.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace troupe::engine {
namespace {

using test::fixture;
using test::hidden_of;
using test::load_model;
using test::loaded_model;
using test::logits_of;
using test::pack;
using test::packed_rows;
using test::test_cache;

constexpr float logit_tolerance = 2e-5F;
constexpr double loss_tolerance = 1e-5;
constexpr double gradient_tolerance = 1e-5;

class TransformerFixtures : public testing::TestWithParam<const char*> {
protected:
  void SetUp() override {
    model_.emplace(load_model(GetParam()));
    fixtures_.emplace(std::string(GetParam()) + "/fixtures.safetensors");
  }

  const model_description& description() const { return model_->description(); }
  const float* weights() const { return model_->weights.data(); }
  bool has(const std::string& name) const { return fixtures_->has(name); }

  /// Largest difference between the rows of packed sequences and where they stand in a padded [B,
  /// T, width].
  static float largest_difference(const packed_rows& rows, const std::vector<float>& packed,
                                  const std::vector<float>& padded, int64_t width) {
    float largest = 0;
    for (size_t row = 0; row < rows.source_N.size(); ++row) {
      for (int64_t i = 0; i < width; ++i) {
        const float expected = padded[static_cast<size_t>(rows.source_N[row] * width + i)];
        const float actual = packed[row * static_cast<size_t>(width) + static_cast<size_t>(i)];
        const float difference = std::fabs(actual - expected);
        largest = difference <= largest ? largest : difference;  // keeps a NaN
      }
    }
    return largest;
  }

  std::vector<float> run_hidden(const packed_rows& rows) {
    return hidden_of(ctx_, model_->net, weights(), rows.batch());
  }

  std::vector<float> run_logits(const packed_rows& rows) {
    return logits_of(ctx_, model_->net, weights(), run_hidden(rows).data(), rows.batch().tokens());
  }

  thread_pool pool_{2};
  context ctx_{pool_};
  std::optional<loaded_model> model_;
  std::optional<fixture> fixtures_;
};

/// What the tiny models have references of and stories260k has not.
class TinyFixtures : public TransformerFixtures {};

TEST_P(TransformerFixtures, LogitsMatch) {
  for (const char* prefix : {"plain.", "rpad.", "lpad."}) {
    if (!has(std::string(prefix) + "logits")) {
      continue;  // stories260k has one of them
    }
    const packed_rows rows = pack(*fixtures_, prefix);
    const std::vector<float> expected = fixtures_->floats(std::string(prefix) + "logits");
    EXPECT_LE(largest_difference(rows, run_logits(rows), expected, description().vocabulary), logit_tolerance)
        << prefix;
  }
}

TEST_P(TinyFixtures, HiddenStatesMatch) {
  const packed_rows rows = pack(*fixtures_, "plain.");
  EXPECT_LE(
      largest_difference(rows, run_hidden(rows), fixtures_->floats("plain.last_hidden"), description().embedding_width),
      logit_tolerance);
}

/// Targets and the loss's weight of every packed row: row t is to predict the label at t + 1.
struct labelled_rows {
  packed_rows rows;
  std::vector<int32_t> target_N;
  std::vector<double> weight_N;  ///< 1 where the row has a label
  double labels = 0;
};

labelled_rows label(const fixture& file, const std::string& prefix) {
  labelled_rows out{.rows = pack(file, prefix), .target_N = {}, .weight_N = {}};
  const bool given = file.has(prefix + "labels");
  const std::vector<int64_t> labels = file.integers(prefix + (given ? "labels" : "input_ids"));
  out.target_N.assign(out.rows.token_N.size(), 0);
  out.weight_N.assign(out.rows.token_N.size(), 0.0);
  for (size_t b = 0; b + 1 < out.rows.offset_B1.size(); ++b) {
    for (int64_t row = out.rows.offset_B1[b]; row + 1 < out.rows.offset_B1[b + 1]; ++row) {
      const auto r = static_cast<size_t>(row);
      const int64_t next = labels[static_cast<size_t>(out.rows.source_N[r + 1])];
      if (next >= 0) {
        out.target_N[r] = static_cast<int32_t>(next);
        out.weight_N[r] = 1.0;
        out.labels += 1;
      }
    }
  }
  return out;
}

/// Mean negative log-likelihood; its gradient is accumulated onto `gradients`.
double train_step(context& ctx, const transformer& net, const float* weights, const labelled_rows& labelled,
                  saved_activations& saved, float* gradients) {
  const model_description& d = net.description();
  const token_batch batch = labelled.rows.batch();
  const auto n = static_cast<size_t>(batch.tokens());
  std::vector<float> hidden(n * static_cast<size_t>(d.embedding_width));
  std::vector<float> dhidden(hidden.size());
  std::vector<float> logprob(n);
  std::vector<float> entropy(n);
  std::vector<kernels::token_terms> terms(n);
  net.forward(ctx, weights, batch, hidden.data(), saved);
  kernels::log_prob_train(ctx, {.dx_ND = dhidden.data(),
                                .dweight = net.head(gradients),
                                .dbias_V = nullptr,
                                .forward = {.logprob_N = logprob.data(),
                                            .entropy_N = entropy.data(),
                                            .x_ND = hidden.data(),
                                            .weight = net.head(weights),
                                            .target_N = labelled.target_N.data(),
                                            .n = batch.tokens(),
                                            .d = d.embedding_width,
                                            .vocabulary = d.vocabulary},
                                .loss = {.kind = kernels::loss_kind::language_model,
                                         .lm = {.tokens = labelled.labels},
                                         .weight_N = labelled.weight_N.data(),
                                         .terms_N = terms.data()}});
  net.backward(ctx, weights, batch, saved, dhidden.data(), gradients);
  double loss = 0;
  for (size_t row = 0; row < n; ++row) {
    loss -= labelled.weight_N[row] * static_cast<double>(logprob[row]);
  }
  return loss / labelled.labels;
}

TEST_P(TransformerFixtures, LossesMatch) {
  aligned_buffer<float> gradients(model_->net.layout().arena_size());
  for (const std::string prefix : {"plain.", "rpad.", "lpad."}) {
    if (has(prefix + "loss")) {
      saved_activations saved;
      const double expected = fixtures_->number(prefix + "loss");
      const double loss = train_step(ctx_, model_->net, weights(), label(*fixtures_, prefix), saved, gradients.data());
      EXPECT_NEAR(loss, expected, loss_tolerance * expected) << prefix;
    }
  }
}

TEST_P(TinyFixtures, LogProbabilitiesMatch) {
  const labelled_rows labelled = label(*fixtures_, "plain.");
  const std::vector<float> hidden = run_hidden(labelled.rows);
  std::vector<float> logprob(labelled.rows.token_N.size());
  kernels::log_prob_forward(ctx_, {.logprob_N = logprob.data(),
                                   .x_ND = hidden.data(),
                                   .weight = model_->net.head(weights()),
                                   .target_N = labelled.target_N.data(),
                                   .n = static_cast<int64_t>(logprob.size()),
                                   .d = description().embedding_width,
                                   .vocabulary = description().vocabulary});
  const std::vector<float> expected = fixtures_->floats("plain.logprobs");  // [B, T - 1]
  const int64_t columns = labelled.rows.columns;
  for (size_t i = 0; i < expected.size(); ++i) {
    const int64_t b = static_cast<int64_t>(i) / (columns - 1);
    const int64_t t = static_cast<int64_t>(i) % (columns - 1);
    EXPECT_NEAR(logprob[static_cast<size_t>(b * columns + t)], expected[i], logit_tolerance);
  }
}

double norm(std::span<const float> values) {
  double sum = 0;
  for (const float v : values) {
    sum += static_cast<double>(v) * static_cast<double>(v);
  }
  return std::sqrt(sum);
}

/// Norm of the difference over the norm of the reference, or over that of the whole gradient where
/// a parameter's own vanishes: a key bias moves no softmax, so its true gradient is 0 and rounding
/// is all there is.
void expect_close(const std::string& name, std::span<const float> actual, std::span<const float> expected,
                  double whole_norm) {
  ASSERT_EQ(actual.size(), expected.size()) << name;
  std::vector<float> difference(actual.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    difference[i] = actual[i] - expected[i];
  }
  EXPECT_LE(norm(difference), gradient_tolerance * std::max(norm(expected), 1e-3 * whole_norm))
      << name << " |reference| = " << norm(expected);
}

std::map<std::string, std::vector<float>> gradients_by_name(const transformer& net, const float* gradients) {
  std::map<std::string, std::vector<float>> out;
  save_weights(net, gradients, [&](const host_array& array) {
    // transformers 5, which made the references, calls GPT-NeoX's head lm_head
    out[array.name == "embed_out.weight" ? "lm_head.weight" : array.name] = to_float32(array);
  });
  return out;
}

TEST_P(TransformerFixtures, GradientsOfEveryParameterMatch) {
  for (const bool checkpointing : {false, true}) {
    aligned_buffer<float> gradients(model_->net.layout().arena_size());
    saved_activations saved(checkpointing);
    train_step(ctx_, model_->net, weights(), label(*fixtures_, "lpad."), saved, gradients.data());
    const double whole_norm = norm(gradients.span());
    size_t compared = 0;
    for (const auto& [name, values] : gradients_by_name(model_->net, gradients.data())) {
      if (has("lpad.grad." + name)) {
        expect_close(name, values, fixtures_->floats("lpad.grad." + name), whole_norm);
        ++compared;
      } else {
        const double expected = fixtures_->number("lpad.gradnorm." + name);
        EXPECT_NEAR(norm(values), expected, gradient_tolerance * expected) << name;
        ++compared;
      }
    }
    size_t references = 0;
    for (const std::string& name : fixtures_->names()) {
      references += name.starts_with("lpad.grad.") || name.starts_with("lpad.gradnorm.") ? 1 : 0;
    }
    EXPECT_EQ(compared, references);
    if (has("lpad.grad_norm")) {
      const double expected = fixtures_->number("lpad.grad_norm");
      EXPECT_NEAR(whole_norm, expected, gradient_tolerance * expected);
    }
  }
}

/// One greedy step for every sequence; appends the tokens and their log-probabilities.
struct greedy_decoder {
  context& ctx;
  const loaded_model& model;
  test_cache cache;
  std::vector<std::vector<int32_t>> chosen;
  std::vector<std::vector<float>> logprob;

  void step(const std::vector<std::vector<int32_t>>& fresh) {
    std::vector<int32_t> token;
    cache.begin_call();
    for (size_t b = 0; b < fresh.size(); ++b) {
      cache.grow(static_cast<int64_t>(b), static_cast<int64_t>(fresh[b].size()));
      token.insert(token.end(), fresh[b].begin(), fresh[b].end());
    }
    const kernels::page_map where = cache.where();
    const auto n = static_cast<int64_t>(token.size());
    const model_description& d = model.description();
    std::vector<float> hidden(static_cast<size_t>(n * d.embedding_width));
    model.net.extend(ctx, model.weights.data(), {.token_N = token, .where = where, .pages_L = cache.pages()},
                     hidden.data());
    std::vector<float> logits = logits_of(ctx, model.net, model.weights.data(), hidden.data(), n);
    chosen.resize(fresh.size());
    logprob.resize(fresh.size());
    for (size_t b = 0; b < fresh.size(); ++b) {
      float* row = logits.data() + (where.row_S1[b + 1] - 1) * d.vocabulary;
      const auto best = static_cast<int32_t>(std::max_element(row, row + d.vocabulary) - row);
      const kernels::softmax_statistics s = kernels::log_softmax_row(row, d.vocabulary, 1.0F);
      chosen[b].push_back(best);
      logprob[b].push_back(kernels::log_prob_of(row, s, best));
    }
  }
};

TEST_P(TinyFixtures, GreedyTokensMatch) {
  const packed_rows prompts = pack(*fixtures_, "gen.");
  const std::vector<int64_t> expected = fixtures_->integers("gen.new_tokens");
  const std::vector<float> expected_logprob = fixtures_->floats("gen.logprobs");
  const size_t sequences = prompts.offset_B1.size() - 1;
  const size_t steps = expected.size() / sequences;
  greedy_decoder decoder{ctx_, *model_, test_cache(description(), 8), {}, {}};
  std::vector<std::vector<int32_t>> fresh(sequences);
  for (size_t b = 0; b < sequences; ++b) {
    fresh[b].assign(prompts.token_N.begin() + prompts.offset_B1[b], prompts.token_N.begin() + prompts.offset_B1[b + 1]);
  }
  for (size_t step = 0; step < steps; ++step) {
    decoder.step(fresh);
    for (size_t b = 0; b < sequences; ++b) {
      fresh[b] = {decoder.chosen[b].back()};
      EXPECT_EQ(decoder.chosen[b].back(), expected[b * steps + step]);
      EXPECT_NEAR(decoder.logprob[b].back(), expected_logprob[b * steps + step], logit_tolerance);
    }
  }
}

TEST(TransformerTest, TellsTheStoryOfItsAuthorsGreedily) {
  thread_pool pool(2);
  context ctx{pool};
  const loaded_model model = load_model("stories260k");
  const key_map story = io::read_json_keys(test_data() + "/stories260k/greedy256.json");
  const auto& expected = std::get<std::vector<int64_t>>(story.at("new_tokens"));
  ASSERT_GT(expected.size(), 200U);
  greedy_decoder decoder{ctx, model, test_cache(model.description(), 8), {}, {}};
  decoder.step({{1}});
  while (decoder.chosen[0].size() < expected.size()) {
    decoder.step({{decoder.chosen[0].back()}});
  }
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), decoder.chosen[0].begin()));
}

std::string last_part(const testing::TestParamInfo<const char*>& info) {
  const std::string path = info.param;
  return path.substr(path.find('/') + 1);
}

const auto tiny_models = testing::Values("tiny/opt", "tiny/opt_postln", "tiny/gpt2", "tiny/llama", "tiny/llama3",
                                         "tiny/qwen2", "tiny/qwen3", "tiny/phi3", "tiny/gpt_neox", "tiny/bloom");

INSTANTIATE_TEST_SUITE_P(Tiny, TransformerFixtures, tiny_models, last_part);
INSTANTIATE_TEST_SUITE_P(Trained, TransformerFixtures, testing::Values("stories260k"), last_part);
INSTANTIATE_TEST_SUITE_P(Tiny, TinyFixtures, tiny_models, last_part);

/// The first blocks of a model on their own, read from the same file: their hidden states.
class HiddenStates : public testing::TestWithParam<const char*> {};

TEST_P(HiddenStates, OfEveryBlockMatch) {
  thread_pool pool(2);
  context ctx{pool};
  const fixture fixtures = fixture(std::string(GetParam()) + "/fixtures.safetensors");
  const packed_rows rows = pack(fixtures, "plain.");
  const loaded_model whole = load_model(GetParam());
  model_description d = whole.description();
  d.final_norm = false;
  for (d.layers = 1; d.layers <= whole.description().layers; ++d.layers) {
    const transformer first(d);
    aligned_buffer<float> weights(first.layout().arena_size());
    for (const parameter& p : first.layout().all()) {
      write_parameter(p, read_parameter(whole.net.layout().at(p.name), whole.weights.data()), weights.data());
    }
    const std::vector<float> hidden = hidden_of(ctx, first, weights.data(), rows.batch());
    const std::vector<float> expected = fixtures.floats("plain.hidden." + std::to_string(d.layers));
    ASSERT_EQ(hidden.size(), expected.size());
    for (size_t i = 0; i < hidden.size(); ++i) {
      ASSERT_NEAR(hidden[i], expected[i], logit_tolerance) << "after block " << d.layers;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, HiddenStates,
                         testing::Values("tiny/opt", "tiny/gpt2", "tiny/llama", "tiny/llama3", "tiny/qwen2",
                                         "tiny/qwen3", "tiny/phi3", "tiny/gpt_neox", "tiny/bloom"));

/// Reward models: a scalar head on the trunk, right pads given as tokens with positions of their
/// own.
class ScalarHeads : public testing::TestWithParam<const char*> {};

TEST_P(ScalarHeads, ScoresMatchAtEveryPosition) {
  thread_pool pool(2);
  context ctx{pool};
  const loaded_model model = load_model(GetParam(), true);
  const fixture rlhf = fixture(std::string(GetParam()) + "/rlhf.safetensors");
  const std::vector<int64_t> ids = rlhf.integers("rm.input_ids");
  const std::vector<int64_t> mask = rlhf.integers("rm.attention_mask");
  const int64_t columns = rlhf.shape("rm.input_ids")[1];
  const bool pads_are_before_first = model.description().family->type == "opt";
  std::vector<int32_t> token(ids.begin(), ids.end());
  std::vector<int32_t> position;
  std::vector<int64_t> offset{0};
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto column = static_cast<int32_t>(static_cast<int64_t>(i) % columns);
    position.push_back(mask[i] == 0 && pads_are_before_first ? -1 : column);
    if (column + 1 == columns) {
      offset.push_back(static_cast<int64_t>(i) + 1);
    }
  }
  const token_batch batch{.token_N = token, .offset_B1 = offset, .position_N = position};
  const std::vector<float> hidden = hidden_of(ctx, model.net, model.weights.data(), batch);
  const std::vector<float> scores = logits_of(ctx, model.net, model.weights.data(), hidden.data(), batch.tokens());
  const std::vector<float> expected = rlhf.floats("rm.scores");
  ASSERT_EQ(scores.size(), expected.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    // The reference masks pads as keys, so there a pad does not even attend to itself: no sequence
    // of tokens, and so no text, has such a row. What the pads stand for is compared in the tests
    // of the objectives.
    if (mask[i] != 0) {
      EXPECT_NEAR(scores[i], expected[i], logit_tolerance) << "position " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, ScalarHeads, testing::Values("tiny/llama", "tiny/opt", "tiny/opt_postln"));

TEST(TransformerTest, NamesATokenOrPositionOutOfRange) {
  thread_pool pool(1);
  context ctx{pool};
  const loaded_model model = load_model("tiny/llama");
  std::vector<float> hidden(64 * 200);
  const std::vector<int32_t> bad_token{5, 512};
  const std::vector<int64_t> two{0, 2};
  EXPECT_THROW(model.net.forward(ctx, model.weights.data(), {.token_N = bad_token, .offset_B1 = two, .position_N = {}},
                                 hidden.data()),
               error);
  const std::vector<int32_t> long_prompt(129, 5);  // the model has 128 positions
  const std::vector<int64_t> offset{0, 129};
  try {
    model.net.forward(ctx, model.weights.data(), {.token_N = long_prompt, .offset_B1 = offset, .position_N = {}},
                      hidden.data());
    FAIL() << "a sequence beyond the last position was accepted";
  } catch (const error& e) {
    EXPECT_EQ(e.code(), errc::bad_argument);
    EXPECT_NE(std::string(e.what()).find("128"), std::string::npos) << e.what();
  }
}

/// One forward of `tokens` tokens that keeps what backward needs.
void save_forward(context& ctx, const loaded_model& model, int64_t tokens, saved_activations& saved) {
  const std::vector<int32_t> token(static_cast<size_t>(tokens), 3);
  const std::vector<int64_t> offset{0, tokens};
  std::vector<float> hidden(static_cast<size_t>(tokens * model.description().embedding_width));
  model.net.forward(ctx, model.weights.data(), {.token_N = token, .offset_B1 = offset, .position_N = {}}, hidden.data(),
                    saved);
}

TEST(SavedActivationsTest, KeepWhatCannotBeRecomputedCheaply) {
  thread_pool pool(1);
  context ctx{pool};
  const loaded_model model = load_model("tiny/llama3");
  const model_description& d = model.description();
  const int64_t inputs = (d.layers + 1) * d.width;
  const int64_t rest =
      (d.heads + 2 * d.kv_heads) * d.head_width + d.heads * d.head_width + d.heads + d.width + 2 * d.feed_forward;
  saved_activations all(false);
  save_forward(ctx, model, 32, all);
  EXPECT_EQ(all.bytes(), 32 * 4 * (inputs + d.layers * rest));
  saved_activations few(true);
  save_forward(ctx, model, 32, few);
  EXPECT_EQ(few.bytes(), 32 * 4 * (inputs + rest));
}

TEST(SavedActivationsTest, GrowToTheLargestBatchAndStay) {
  thread_pool pool(1);
  context ctx{pool};
  const loaded_model model = load_model("tiny/opt");
  saved_activations saved;
  save_forward(ctx, model, 40, saved);
  const int64_t largest = saved.bytes();
  save_forward(ctx, model, 7, saved);
  EXPECT_EQ(saved.bytes(), largest);
}

TEST(SavedActivationsTest, AreRefusedByBackwardOfAnotherBatch) {
  thread_pool pool(1);
  context ctx{pool};
  const loaded_model model = load_model("tiny/opt");
  saved_activations saved;
  save_forward(ctx, model, 5, saved);
  const std::vector<int32_t> token{1, 2, 3};
  const std::vector<int64_t> offset{0, 3};
  std::vector<float> dhidden(3 * 64);
  aligned_buffer<float> gradients(model.net.layout().arena_size());
  EXPECT_THROW(model.net.backward(ctx, model.weights.data(), {.token_N = token, .offset_B1 = offset, .position_N = {}},
                                  saved, dhidden.data(), gradients.data()),
               error);
}

TEST(TransformerTest, TakesAnEmptyBatch) {
  thread_pool pool(1);
  context ctx{pool};
  const loaded_model model = load_model("tiny/opt");
  const std::vector<int64_t> offset{0, 0};
  saved_activations saved;
  aligned_buffer<float> gradients(model.net.layout().arena_size());
  const token_batch nothing{.token_N = {}, .offset_B1 = offset, .position_N = {}};
  model.net.forward(ctx, model.weights.data(), nothing, nullptr, saved);
  model.net.backward(ctx, model.weights.data(), nothing, saved, nullptr, gradients.data());
  EXPECT_TRUE(std::all_of(gradients.begin(), gradients.end(), [](float g) { return g == 0; }));
}

TEST(TransformerTest, RefusesOffsetsThatDoNotCoverTheTokens) {
  thread_pool pool(1);
  context ctx{pool};
  const loaded_model model = load_model("tiny/llama");
  std::vector<float> hidden(64 * 4);
  const std::vector<int32_t> token{1, 2, 3, 4};
  for (const std::vector<int64_t>& offset : {std::vector<int64_t>{}, {0, 3}, {1, 4}, {0, 3, 2, 4}}) {
    EXPECT_THROW(model.net.forward(ctx, model.weights.data(), {.token_N = token, .offset_B1 = offset, .position_N = {}},
                                   hidden.data()),
                 error);
  }
}

}  // namespace
}  // namespace troupe::engine
