/// Every operation with all its arrays in a card's memory, where the host can read none of them: it may look at
/// arguments, not at what they point to.
#include "base/device.hpp"
#include "kernels/device_ops.hpp"
#include "support/emulation/emulated_card.hpp"
#include "support/random_values.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

namespace troupe::kernels {
namespace {

/// Where arrays of a computation lie.
class arrays {
public:
  virtual ~arrays() = default;
  template <class T> T* put(const std::vector<T>& values) {
    return static_cast<T*>(put_bytes(values.data(), values.size() * sizeof(T)));
  }
  float* reals_of(int64_t count, uint64_t stream) { return put(test::random_values(count, stream)); }
  bf16* halves_of(int64_t count, uint64_t stream) {
    std::vector<float> values = test::random_values(count, stream);
    return put(test::round_to_bf16(values));
  }
  /// What all arrays hold, in the order in which they were put.
  virtual std::vector<std::byte> contents() = 0;

protected:
  virtual void* put_bytes(const void* values, size_t bytes) = 0;
};

class host_arrays : public arrays {
public:
  std::vector<std::byte> contents() override {
    std::vector<std::byte> all;
    for (const auto& [at, bytes] : arrays_) {
      all.insert(all.end(), at.get(), at.get() + bytes);
    }
    return all;
  }

protected:
  void* put_bytes(const void* values, size_t bytes) override {
    auto at = std::make_unique<std::byte[]>(bytes);
    std::memcpy(at.get(), values, bytes);
    arrays_.emplace_back(std::move(at), bytes);
    return arrays_.back().first.get();
  }

private:
  std::vector<std::pair<std::unique_ptr<std::byte[]>, size_t>> arrays_;
};

class card_arrays : public arrays {
public:
  explicit card_arrays(device& card) : card_(card) {}

  std::vector<std::byte> contents() override {
    std::vector<std::byte> all;
    for (const auto& [at, bytes] : arrays_) {
      std::vector<std::byte> one(bytes);
      card_.copy(queue::download, one.data(), at, static_cast<int64_t>(bytes));
      all.insert(all.end(), one.begin(), one.end());
    }
    card_.finish(card_.record(queue::download));
    return all;
  }

protected:
  void* put_bytes(const void* values, size_t bytes) override {
    const auto size = static_cast<int64_t>(bytes);
    std::byte* at = card_.reserve(size, "test");
    card_.map(at, size);
    card_.copy(queue::upload, at, values, size);
    arrays_.emplace_back(at, bytes);
    return at;
  }

private:
  device& card_;
  std::vector<std::pair<std::byte*, size_t>> arrays_;
};

constexpr int64_t n = 5, d = 64, vocabulary = 40, padded_vocabulary = 64;
constexpr attention_shape heads{.heads = 2, .kv_heads = 1, .head_width = 32, .scale = 0.2F};
const int64_t e = heads.row_width(), hk = heads.heads * heads.head_width;

void run_norms(context& ctx, arrays& in) {
  for (const bool centred : {false, true}) {
    bf16* x = in.halves_of(n * d, 1);
    const bf16* gamma = in.halves_of(d, 2);
    float* rstd = in.reals_of(n, 3);
    float* mean = in.reals_of(n, 4);
    const norm_args args{.y_ND = in.halves_of(n * d, 5),
                         .rstd_N = rstd,
                         .mean_N = mean,
                         .x_ND = x,
                         .add_ND = const_reals(in.halves_of(n * d, 6)),
                         .gamma_D = gamma,
                         .beta_D = const_reals(in.halves_of(d, 7)),
                         .n = n,
                         .d = d};
    centred ? layer_norm_forward(ctx, args) : rms_norm_forward(ctx, args);
    const norm_backward_args back{.dx_ND = in.halves_of(n * d, 8),
                                  .dgamma_D = in.reals_of(d, 9),
                                  .dbeta_D = in.reals_of(d, 10),
                                  .dy_ND = const_reals(in.halves_of(n * d, 11)),
                                  .x_ND = x,
                                  .gamma_D = gamma,
                                  .rstd_N = rstd,
                                  .mean_N = mean,
                                  .n = n,
                                  .d = d};
    centred ? layer_norm_backward(ctx, back) : rms_norm_backward(ctx, back);
  }
}

void run_products(context& ctx, arrays& in) {
  const bf16* x = in.halves_of(n * d, 12);
  const bf16* weight = in.halves_of(e * d, 13);
  const bf16* dy = in.halves_of(n * e, 14);
  linear_forward(ctx, {.y_NO = in.halves_of(n * e, 15),
                       .x_NI = x,
                       .weight = weight,
                       .bias_O = const_reals(in.halves_of(e, 16)),
                       .n = n,
                       .outputs = e,
                       .inputs = d});
  linear_backward_input(
      ctx, {.dx_NI = in.halves_of(n * d, 17), .dy_NO = dy, .weight = weight, .n = n, .outputs = e, .inputs = d});
  linear_backward_weight(ctx, {.dweight = in.reals_of(e * d, 18),
                               .dbias_O = in.reals_of(e, 19),
                               .x_NI = x,
                               .dy_NO = dy,
                               .n = n,
                               .outputs = e,
                               .inputs = d});
}

void run_attention(context& ctx, arrays& in) {
  bf16* qkv = in.halves_of(n * e, 20);
  const rotary_args turn{.x_NE = qkv,
                         .row_stride = e,
                         .n = n,
                         .heads = 3,
                         .head_width = 32,
                         .rotated = 32,
                         .position_N = in.put<int32_t>({0, 1, 0, 1, 2}),
                         .cos_PR2 = in.reals_of(3 * 16, 21),
                         .sin_PR2 = in.reals_of(3 * 16, 22)};
  rotary_forward(ctx, turn);
  const std::span<const int64_t> offset_B1(in.put<int64_t>({0, 2, 5}), 3);
  const std::span<const int32_t> tile_T2(in.put<int32_t>({0, 0, 1, 0}), 4);
  bf16* out = in.halves_of(n * hk, 23);
  float* lse = in.reals_of(n * 2, 24);
  attention_forward(
      ctx, {.shape = heads, .out_NHK = out, .lse_NH = lse, .qkv_NE = qkv, .offset_B1 = offset_B1, .tile_T2 = tile_T2});
  attention_backward(ctx, {.shape = heads,
                           .dqkv_NE = in.halves_of(n * e, 26),
                           .dout_NHK = const_reals(in.halves_of(n * hk, 27)),
                           .out_NHK = out,
                           .lse_NH = lse,
                           .qkv_NE = qkv,
                           .offset_B1 = offset_B1,
                           .tile_T2 = tile_T2});
  kv_pages pages;
  const int64_t page_floats = pages.page_floats(heads);
  pages.keys = in.put(std::vector<bf16>(static_cast<size_t>(2 * page_floats)));
  pages.values = in.put(std::vector<bf16>(static_cast<size_t>(2 * page_floats)));
  paged_attention_forward(ctx, {.shape = heads,
                                .out_NHK = in.halves_of(n * hk, 25),
                                .qkv_NE = qkv,
                                .pages = pages,
                                .where = {.page_SP = in.put<int32_t>({1, 0}),
                                          .row_S1 = in.put<int64_t>({0, 2, 5}),
                                          .position_S = in.put<int32_t>({0, 0}),
                                          .sequences = 2,
                                          .stride = 1,
                                          .rows = n,
                                          .longest = 3}});
  rotary_backward(ctx, turn);
}

void run_activations(context& ctx, arrays& in) {
  bf16* x = in.halves_of(n * d, 30);
  bf16* gate_up = in.halves_of(n * 2 * d, 31);
  const bf16* dy = in.halves_of(n * d, 32);
  activation_forward(ctx, {.y_NF = in.halves_of(n * d, 33), .x_NF = x, .n = n, .f = d, .kind = activation::gelu_tanh});
  activation_backward(
      ctx, {.dx_NF = in.halves_of(n * d, 34), .dy_NF = dy, .x_NF = x, .n = n, .f = d, .kind = activation::relu});
  gated_activation_forward(ctx, {.y_NF = in.halves_of(n * d, 35), .gate_up_N2F = gate_up, .n = n, .f = d});
  gated_activation_backward(
      ctx, {.dgate_up_N2F = in.halves_of(n * 2 * d, 36), .dy_NF = dy, .gate_up_N2F = gate_up, .n = n, .f = d});
  add_in_place(ctx, x, dy, n * d);
}

void run_ends(context& ctx, arrays& in) {
  const int32_t* token = in.put<int32_t>({3, 39, 3, 0, 7});
  const bf16* table = in.halves_of(padded_vocabulary * d, 40);
  float* gradient = in.reals_of(padded_vocabulary * d, 41);
  embedding_forward(
      ctx, {.y_ND = in.halves_of(n * d, 42), .index_N = token, .table = table, .n = n, .rows = vocabulary, .d = d});
  embedding_backward(ctx, {.dtable = gradient,
                           .index_N = token,
                           .dy_ND = const_reals(in.halves_of(n * d, 43)),
                           .n = n,
                           .rows = vocabulary,
                           .d = d,
                           .row_N = in.put<int32_t>({3, 0, 2, 4, 1}),
                           .begin_U1 = in.put<int32_t>({0, 1, 3, 4, 5}),
                           .distinct = 4});
  const log_prob_args head{.logprob_N = in.reals_of(n, 44),
                           .entropy_N = in.reals_of(n, 45),
                           .x_ND = const_reals(in.halves_of(n * d, 46)),
                           .weight = table,
                           .target_N = token,
                           .n = n,
                           .d = d,
                           .vocabulary = vocabulary};
  log_prob_forward(ctx, head);
  token_loss loss{.kind = loss_kind::policy, .logprob_old_N = in.reals_of(n, 47), .advantage_N = in.reals_of(n, 48)};
  loss.weight_N = in.put(std::vector<double>(n, 0.5));
  loss.terms_N = in.put(std::vector<token_terms>(n));
  log_prob_train(ctx, {.dx_ND = in.halves_of(n * d, 49), .dweight = gradient, .forward = head, .loss = loss});
}

void run_sampling(context& ctx, arrays& in) {
  std::vector<row_draw> draws(n);
  std::memset(static_cast<void*>(draws.data()), 0, n * sizeof(row_draw));  // the gaps between members are compared too
  for (row_draw& draw : draws) {
    draw.settings.temperature = 0.7F;
    draw.settings.top_p = 0.9F;
    draw.settings.repetition_penalty = 1.1F;
    draw.uniform = 0.4;
    draw.context_end = 3;
  }
  int32_t* ids = in.put<int32_t>({1, 2, 3});
  sampled_token* drawn = in.put(std::vector<sampled_token>(n));
  sample_rows(ctx, {.logits_NV = in.reals_of(n * vocabulary, 70),
                    .draw_N = in.put(draws),
                    .context = ids,
                    .token_N = drawn,
                    .n = n,
                    .vocabulary = vocabulary,
                    .penalties = true});
  feed_tokens(ctx, {.token_N = in.put(std::vector<int32_t>(n)),
                    .given_N = in.put<int32_t>({7, 8, 9, 10, 11}),
                    .source_N = in.put<int32_t>({1, -1, 0, 4, -1}),
                    .drawn_M = drawn,
                    .context = ids,
                    .context_at_N = in.put<int64_t>({-1, 1, 0, -1, -1}),
                    .n = n});
}

void run_optimizer(context& ctx, arrays& in) {
  const int64_t count = 5000;
  const float* gradient = in.reals_of(count, 50);
  float* weight = in.reals_of(count, 51);
  const float norm = static_cast<float>(sum_of_squares(ctx, gradient, count));
  const std::vector<int64_t> offset_P1{0, 10, 10 + 7 * panel_width, count};
  const std::vector<int64_t> inputs_P{0, 7, 0};
  std::vector<double> sum_P(3);
  sums_of_squares(ctx, gradient, offset_P1, sum_P, inputs_P);
  adamw_update(ctx, {.weight = weight,
                     .compute = in.halves_of(count, 52),
                     .first_moment = in.put(std::vector<float>(count)),
                     .second_moment = in.put(std::vector<float>(count)),
                     .gradient = gradient,
                     .count = count,
                     .learning_rate = 1e-3F,
                     .gradient_scale = 1 / norm + static_cast<float>(1 / sum_P[1])});
  fold_average(ctx, in.reals_of(count, 53), weight, count, 0.9F);
  const std::vector<const float*> pieces_R{gradient, weight, in.reals_of(count, 54)};
  join_pieces(ctx, pieces_R, count, in.reals_of(count, 55));
}

void run_rows(context& ctx, arrays& in) {
  const bf16* from = in.halves_of(n * d, 60);
  const int64_t* row = in.put<int64_t>({4, 0, 2});
  copy_rows(ctx, {.to = in.reals_of(n * d, 61), .from = from, .n = n, .width = d});
  gather_rows(ctx, {.to_AD = in.halves_of(3 * d, 62), .from_ND = from, .row_A = row, .rows = 3, .d = d});
  scatter_rows(ctx, {.to_ND = in.halves_of(n * d, 63), .from_AD = from, .row_A = row, .n = n, .rows = 3, .d = d});
  zero(ctx, in.halves_of(n * d, 64), 7);
}

void expect_same_results(void (*run)(context&, arrays&)) {
  const auto card = emulation::make_card();
  thread_pool pool(1);
  context ctx{pool, card.get()};
  host_arrays open;
  card_arrays closed(*card);
  run(ctx, open);
  run(ctx, closed);
  EXPECT_EQ(closed.contents(), open.contents());
}

TEST(CardMemoryTest, NormsReadItOnTheCardAlone) { expect_same_results(run_norms); }
TEST(CardMemoryTest, ProductsReadItOnTheCardAlone) { expect_same_results(run_products); }
TEST(CardMemoryTest, AttentionReadsItOnTheCardAlone) { expect_same_results(run_attention); }
TEST(CardMemoryTest, ActivationsReadItOnTheCardAlone) { expect_same_results(run_activations); }
TEST(CardMemoryTest, EmbeddingAndHeadReadItOnTheCardAlone) { expect_same_results(run_ends); }
TEST(CardMemoryTest, SamplersReadItOnTheCardAlone) { expect_same_results(run_sampling); }
TEST(CardMemoryTest, OptimizersReadItOnTheCardAlone) { expect_same_results(run_optimizer); }
TEST(CardMemoryTest, RowsAreMovedOnTheCardAlone) { expect_same_results(run_rows); }

}  // namespace
}  // namespace troupe::kernels
