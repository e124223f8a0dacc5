#include "base/error.hpp"
#include "kernels/attention.hpp"
#include "support/attention_oracle.hpp"
#include "support/random_values.hpp"
#include "support/simd_targets.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

namespace troupe::kernels {
namespace {

using problem = test::attention_problem;
using test::random_values;
using test::to_double;

/// Seeded operands of a problem, and what the kernels make of them.
struct attention_case {
  explicit attention_case(const problem& p) : offset(p.offset_B1) {
    shape = test::shape_of(p, slopes);
    rows = offset.back();
    qkv = random_values(rows * shape.row_width(), 1, p.amplitude);
    dout = random_values(rows * heads_width(), 2);
  }

  int64_t heads_width() const { return shape.heads * shape.head_width; }

  void forward(context& ctx) {
    out.assign(static_cast<size_t>(rows * heads_width()), NAN);
    lse.assign(static_cast<size_t>(rows * shape.heads), NAN);
    attention_forward(
        ctx, {.shape = shape, .out_NHK = out.data(), .lse_NH = lse.data(), .qkv_NE = qkv.data(), .offset_B1 = offset});
  }

  void backward(context& ctx) {
    dqkv.assign(qkv.size(), NAN);
    attention_backward(ctx, {.shape = shape,
                             .dqkv_NE = dqkv.data(),
                             .dout_NHK = dout.data(),
                             .out_NHK = out.data(),
                             .lse_NH = lse.data(),
                             .qkv_NE = qkv.data(),
                             .offset_B1 = offset});
  }

  attention_shape shape;
  std::vector<float> slopes;
  std::vector<int64_t> offset;
  int64_t rows = 0;
  std::vector<float> qkv, dout, out, lse, dqkv;
};

const std::vector<problem> problems = {
    {"NoSequence", 2, 1, 8, {0}},
    {"EmptySequences", 2, 1, 8, {0, 0, 3, 3}},
    {"OneRow", 3, 3, 24, {0, 1}},
    {"OneWide", 2, 2, 1, {0, 5, 70}},
    {"Width31", 2, 1, 31, {0, 66}},
    {"Width33", 4, 2, 33, {0, 1, 130}},
    {"GroupedWidth64", 9, 3, 64, {0, 65, 65, 190}},
    {"Width80Alibi", 4, 4, 80, {0, 64, 129}, true},
    {"Width128GroupOfSeven", 7, 1, 128, {0, 7, 71}},
    {"GroupedAlibi", 6, 2, 24, {0, 200}, true},
    {"ExtremeScores", 3, 1, 16, {0, 150}, false, 100},
};

class AttentionTest : public testing::TestWithParam<std::tuple<problem, int64_t>> {
protected:
  AttentionTest() : target_(std::get<1>(GetParam())), values_(std::get<0>(GetParam())) {}

  test::simd_target_scope target_;
  attention_case values_;
  thread_pool pool_{2};
  context ctx_{pool_};
};

// float32 sums of products of values up to 1: 1e-12 is a relative difference of 1e-6. Where scores
// reach 1e4, their own rounding (1e-3) is an error of p.
double limit(const problem& p) { return p.amplitude > 1 ? 1e-6 : 1e-12; }

TEST_P(AttentionTest, ForwardMatchesTheOracle) {
  const problem& p = std::get<0>(GetParam());
  values_.forward(ctx_);
  const auto oracle = test::attention_oracle(values_.shape, to_double(values_.qkv), values_.offset);
  EXPECT_LT(test::relative_error(values_.out, oracle.out_NHK), limit(p));
  EXPECT_LT(test::relative_error(values_.lse, oracle.lse_NH), limit(p));
}

TEST_P(AttentionTest, BackwardMatchesTheOracle) {
  const problem& p = std::get<0>(GetParam());
  values_.forward(ctx_);
  values_.backward(ctx_);
  const auto oracle =
      test::attention_backward_oracle(values_.shape, to_double(values_.qkv), to_double(values_.dout), values_.offset);
  EXPECT_LT(test::relative_error(values_.dqkv, oracle), 10 * limit(p));
}

std::string case_name(const testing::TestParamInfo<std::tuple<problem, int64_t>>& info) {
  return std::string(std::get<0>(info.param).name) + "_" + hwy::TargetName(std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionTest,
                         testing::Combine(testing::ValuesIn(problems), testing::ValuesIn(test::simd_targets())),
                         case_name);

TEST(AttentionOracleTest, BackwardMatchesCentralDifferences) {
  attention_case values({"", 4, 2, 3, {0, 2, 7}, true});
  std::vector<double> qkv = to_double(values.qkv);
  const std::vector<double> dout = to_double(values.dout);
  const auto loss = [&] {
    const auto out = test::attention_oracle(values.shape, qkv, values.offset).out_NHK;
    double sum = 0;
    for (size_t i = 0; i < out.size(); ++i) {
      sum += out[i] * dout[i];
    }
    return sum;
  };
  const auto gradient = test::attention_backward_oracle(values.shape, qkv, dout, values.offset);
  for (size_t i = 0; i < qkv.size(); ++i) {
    const double at = qkv[i];
    qkv[i] = at + 1e-5;
    const double above = loss();
    qkv[i] = at - 1e-5;
    const double below = loss();
    qkv[i] = at;
    EXPECT_NEAR(gradient[i], (above - below) / 2e-5, 1e-8) << "element " << i;
  }
}

/// A cache for one sequence, its pages scattered over the buffer, and a call for some of its rows.
class paged_case {
public:
  explicit paged_case(const attention_case& values)
      : values_(values), pages_((values.rows + attention_tile - 1) / attention_tile) {
    const int64_t floats = kv_pages{}.page_floats(values.shape) * (2 * pages_ + 1);
    keys_.assign(static_cast<size_t>(floats), NAN);  // what was not written must not be used
    values_pages_.assign(static_cast<size_t>(floats), NAN);
    for (int64_t page = 0; page < pages_; ++page) {
      table_.push_back(static_cast<int32_t>(2 * (pages_ - page) - 1));
    }
    out.assign(static_cast<size_t>(values.rows * values.heads_width()), NAN);
  }

  void append(context& ctx, int64_t begin, int64_t end) {
    const std::vector<int64_t> row = {0, end - begin};
    const auto position = static_cast<int32_t>(begin);
    paged_attention_forward(ctx, {.shape = values_.shape,
                                  .out_NHK = out.data() + begin * values_.heads_width(),
                                  .qkv_NE = values_.qkv.data() + begin * values_.shape.row_width(),
                                  .pages = {keys_.data(), values_pages_.data()},
                                  .where = {.page_SP = table_.data(),
                                            .row_S1 = row.data(),
                                            .position_S = &position,
                                            .sequences = 1,
                                            .stride = pages_}});
  }

  std::vector<float> out;

private:
  const attention_case& values_;
  int64_t pages_;
  std::vector<float> keys_, values_pages_;
  std::vector<int32_t> table_;
};

/// Kinds of model that have to give the same bits however they are called.
const std::vector<problem> bit_problems = {
    {"Grouped", 9, 3, 64, {0, 150}},
    {"AlibiOddWidth", 2, 2, 33, {0, 150}, true},
    {"OneKeyHead", 7, 1, 24, {0, 150}},
    {"ManyTiles", 4, 2, 16, {0, 500}},  // of keys, which threads take one after the other in backward
};

class AttentionBitsTest : public testing::TestWithParam<problem> {
protected:
  thread_pool pool_{1};
  context ctx_{pool_};
};

TEST_P(AttentionBitsTest, PagedInAnyPiecesEqualsPacked) {
  attention_case values(GetParam());
  values.forward(ctx_);
  for (const int64_t piece : {1, 7, 64, 100, 150}) {
    paged_case paged(values);
    for (int64_t begin = 0; begin < values.rows; begin += piece) {
      paged.append(ctx_, begin, std::min(begin + piece, values.rows));
    }
    EXPECT_EQ(paged.out, values.out) << "in pieces of " << piece;
  }
  paged_case paged(values);
  paged.append(ctx_, 0, 97);
  for (int64_t row = 97; row < values.rows; ++row) {
    paged.append(ctx_, row, row + 1);
  }
  EXPECT_EQ(paged.out, values.out) << "prompt, then one by one";
}

TEST_P(AttentionBitsTest, SequenceDoesNotDependOnItsBatch) {
  attention_case alone(GetParam());
  alone.forward(ctx_);
  alone.backward(ctx_);
  attention_case batch(GetParam());
  const auto others = random_values(70 * batch.shape.row_width(), 9);
  batch.qkv.insert(batch.qkv.begin(), others.begin(), others.end());
  batch.qkv.insert(batch.qkv.end(), others.begin(), others.end());
  const auto more = random_values(70 * batch.heads_width(), 8);
  batch.dout.insert(batch.dout.begin(), more.begin(), more.end());
  batch.dout.insert(batch.dout.end(), more.begin(), more.end());
  batch.offset = {0, 70, 70 + alone.rows, 70 + alone.rows + 1, 140 + alone.rows};
  batch.rows = batch.offset.back();
  batch.forward(ctx_);
  batch.backward(ctx_);
  const auto middle = [&](const std::vector<float>& all, const std::vector<float>& part, int64_t width) {
    const auto begin = all.begin() + 70 * width;
    return std::vector<float>(begin, begin + static_cast<std::ptrdiff_t>(part.size()));
  };
  EXPECT_EQ(middle(batch.out, alone.out, batch.heads_width()), alone.out);
  EXPECT_EQ(middle(batch.lse, alone.lse, batch.shape.heads), alone.lse);
  EXPECT_EQ(middle(batch.dqkv, alone.dqkv, batch.shape.row_width()), alone.dqkv);
}

TEST_P(AttentionBitsTest, ThreadsAndVectorWidthDoNotMatter) {
  attention_case first(GetParam());
  first.forward(ctx_);
  first.backward(ctx_);
  for (const int64_t target : test::fused_simd_targets()) {
    const test::simd_target_scope scope(target);
    for (const int threads : {1, 2, 3}) {
      thread_pool pool(threads);
      context ctx{pool};
      attention_case other(GetParam());
      other.forward(ctx);
      other.backward(ctx);
      EXPECT_EQ(other.out, first.out) << hwy::TargetName(target) << ", threads " << threads;
      EXPECT_EQ(other.lse, first.lse) << hwy::TargetName(target) << ", threads " << threads;
      EXPECT_EQ(other.dqkv, first.dqkv) << hwy::TargetName(target) << ", threads " << threads;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, AttentionBitsTest, testing::ValuesIn(bit_problems),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(PagedAttentionTest, SequencesOfACallShareThePagesOfTheirPrefix) {
  thread_pool pool(2);
  context ctx{pool};
  attention_case values({"", 4, 2, 8, {0, 66}});
  values.forward(ctx);
  const auto page = static_cast<size_t>(kv_pages{}.page_floats(values.shape));
  std::vector<float> keys(4 * page), cached(4 * page);
  const std::vector<int32_t> table = {2, -1};  // its second page is not looked at
  const std::vector<int64_t> row = {0, 64};
  const int32_t position = 0;
  std::vector<float> out(values.out.size());
  const kv_pages pages{keys.data(), cached.data()};
  paged_attention_forward(
      ctx, {values.shape, out.data(), values.qkv.data(), pages, {table.data(), row.data(), &position, 1, 2}});
  // Both go on with row 64; the second then takes 65 too. One has no new row at all.
  std::vector<float> rows(values.qkv.begin() + 64 * values.shape.row_width(), values.qkv.end());
  rows.insert(rows.begin(), rows.begin(), rows.begin() + values.shape.row_width());
  const std::vector<int32_t> tables = {2, 0, 2, 3, 2, 0}, positions = {64, 64, 65};
  const std::vector<int64_t> rows_of = {0, 1, 3, 3};
  std::vector<float> next(static_cast<size_t>(3 * values.heads_width()));
  paged_attention_forward(
      ctx, {values.shape, next.data(), rows.data(), pages, {tables.data(), rows_of.data(), positions.data(), 3, 2}});
  const auto at = [&](const std::vector<float>& from, int64_t row) {
    const auto begin = from.begin() + row * values.heads_width();
    return std::vector<float>(begin, begin + values.heads_width());
  };
  EXPECT_EQ(at(next, 0), at(values.out, 64));
  EXPECT_EQ(at(next, 1), at(values.out, 64));
  EXPECT_EQ(at(next, 2), at(values.out, 65));
}

TEST(AttentionArgumentsTest, ImpossibleShapesAreErrors) {
  thread_pool pool(1);
  context ctx{pool};
  const std::vector<int64_t> offset = {0, 4}, falling = {0, 4, 2};
  const attention_shape uneven{.heads = 3, .kv_heads = 2, .head_width = 8};
  const attention_shape good{.heads = 2, .kv_heads = 2, .head_width = 8};
  EXPECT_THROW(attention_forward(ctx, {.shape = uneven, .offset_B1 = offset}), error);
  EXPECT_THROW(attention_forward(ctx, {.shape = good, .offset_B1 = falling}), error);
  EXPECT_THROW(attention_forward(ctx, {.shape = good, .offset_B1 = {}}), error);
  EXPECT_THROW(attention_backward(ctx, {.shape = good, .offset_B1 = offset}), error);
  const auto paged = [&](int32_t page, int64_t rows, int32_t position) {
    const std::vector<int64_t> row = {0, rows};
    paged_attention_forward(ctx, {.shape = good, .where = {&page, row.data(), &position, 1, 1}});
  };
  EXPECT_THROW(paged(0, 2, 63), error) << "past its pages";
  EXPECT_THROW(paged(-1, 1, 0), error);
  EXPECT_THROW(paged(0, -1, 5), error);
  EXPECT_THROW(paged(0, 1, -1), error);
}

}  // namespace
}  // namespace troupe::kernels
