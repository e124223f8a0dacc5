/// Attention of a card against double, against the CPU, and its forms against each other, bit for bit.
#include "base/round_up.hpp"
#include "kernels/attention.hpp"
#include "support/attention_oracle.hpp"
#include "support/emulation/card_test.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <tuple>

namespace troupe::kernels {
namespace {

using problem = test::attention_problem;
using test::bits;
using test::emulated_context;
using test::near_oracle;
using test::operand;
using test::to_double;

/// Seeded operands of a problem, and packed attention on them.
struct attention_case {
  attention_case(const problem& p, dtype type)
      : offset(p.offset_B1), rows(offset.back()),
        qkv(test::random_values(rows * (p.heads + 2 * p.kv_heads) * p.head_width, 1, p.amplitude), type),
        out(std::vector<float>(static_cast<size_t>(rows * p.heads * p.head_width), NAN), type),
        lse(static_cast<size_t>(rows * p.heads), NAN),
        dout(test::random_values(rows * p.heads * p.head_width, 2), type), dqkv(qkv) {
    lse.reserve(1);  // a pointer, even of nothing
    shape = test::shape_of(p, slopes);
    for (size_t s = 0; s + 1 < offset.size(); ++s) {
      for (int64_t tile = 0; tile < divide_up(length(s), attention_tile); ++tile) {
        tiles.push_back(static_cast<int32_t>(s));
        tiles.push_back(static_cast<int32_t>(tile));
      }
    }
  }

  int64_t length(size_t sequence) const { return offset[sequence + 1] - offset[sequence]; }

  void forward(context& ctx) {
    attention_forward(ctx, {.shape = shape,
                            .out_NHK = out.data(),
                            .lse_NH = lse.data(),
                            .qkv_NE = qkv.data(),
                            .offset_B1 = offset,
                            .tile_T2 = tiles});
  }

  void backward(context& ctx) {
    dqkv = operand(std::vector<float>(dqkv.values().size(), NAN), dqkv.data().type());
    attention_backward(ctx, {.shape = shape,
                             .dqkv_NE = dqkv.data(),
                             .dout_NHK = dout.data(),
                             .out_NHK = out.data(),
                             .lse_NH = lse.data(),
                             .qkv_NE = qkv.data(),
                             .offset_B1 = offset,
                             .tile_T2 = tiles});
  }

  attention_shape shape;
  std::vector<float> slopes;
  std::vector<int64_t> offset;
  std::vector<int32_t> tiles;
  int64_t rows;
  operand qkv, out;
  std::vector<float> lse;
  operand dout, dqkv;
};

const std::vector<problem> problems = {
    {"NoSequence", 2, 1, 8, {0}},
    {"EmptySequences", 2, 1, 8, {0, 0, 3, 3}},
    {"OneRow", 3, 3, 24, {0, 1}},
    {"OneWide", 2, 2, 1, {0, 5, 70}},
    {"Width31", 2, 1, 31, {0, 66}},
    {"GroupedWidth64", 4, 2, 64, {0, 65, 65, 100}},
    {"Width64Short", 2, 1, 64, {0, 5, 40}},
    {"Width80Alibi", 2, 2, 80, {0, 64, 129}, true},
    {"Width80Short", 1, 1, 80, {0, 33}},
    {"Width96", 1, 1, 96, {0, 33}},
    {"Width128GroupOfSeven", 7, 1, 128, {0, 7, 71}},
    {"Width256", 2, 1, 256, {0, 3, 70}},
    {"GroupedAlibi", 6, 2, 24, {0, 100}, true},
    {"ExtremeScores", 2, 1, 16, {0, 130}, false, 100},
    {"ThreeSpans", 1, 1, 16, {0, 1090}, true},
};

/// In bfloat16 probabilities are rounded as results are; where scores reach 1e4 their own rounding is an error of p.
double limit(const problem& p, dtype type) { return type == dtype::bf16 ? 2e-5 : p.amplitude > 1 ? 1e-6 : 1e-12; }

class CudaAttentionTest : public testing::TestWithParam<std::tuple<problem, dtype>> {
protected:
  const problem& problem_ = std::get<0>(GetParam());
  dtype type_ = std::get<1>(GetParam());
  double limit_ = limit(problem_, type_);
  double backward_limit_ = type_ == dtype::f32 ? 10 * limit_ : problem_.amplitude > 1 ? 5e-4 : 5e-5;
  emulated_context card_;

  /// An operation's name: where scores are extreme it has limits of its own.
  const char* named(const char* usual, const char* extreme) const { return problem_.amplitude > 1 ? extreme : usual; }
};

TEST_P(CudaAttentionTest, ForwardIsNearTheOracleAndTheCpu) {
  attention_case values(problem_, type_);
  values.forward(card_.ctx);
  const auto oracle = test::attention_oracle(values.shape, to_double(values.qkv.values()), values.offset);
  EXPECT_TRUE(near_oracle(named("attention forward", "attention forward, extreme scores"), type_, values.out.values(),
                          oracle.out_NHK, limit_));
  EXPECT_TRUE(near_oracle(named("attention log-sum", "attention log-sum, extreme scores"), type_, values.lse,
                          oracle.lse_NH, problem_.amplitude > 1 ? 1e-6 : 1e-12));
  attention_case twin(problem_, dtype::f32);
  twin.qkv = widened(values.qkv);
  thread_pool pool(1);
  context host{pool};
  twin.forward(host);
  EXPECT_LT(test::relative_error(values.out.values(), to_double(twin.out.values())), limit_);
}

TEST_P(CudaAttentionTest, BackwardIsNearTheOracleAndTheCpu) {
  attention_case values(problem_, type_);
  if (values.rows > 300) {
    GTEST_SKIP() << "backward knows no spans";
  }
  values.forward(card_.ctx);
  values.backward(card_.ctx);
  const auto oracle = test::attention_backward_oracle(values.shape, to_double(values.qkv.values()),
                                                      to_double(values.dout.values()), values.offset);
  EXPECT_TRUE(near_oracle(named("attention backward", "attention backward, extreme scores"), type_,
                          values.dqkv.values(), oracle, backward_limit_));
  attention_case twin(problem_, dtype::f32);
  twin.qkv = widened(values.qkv);
  twin.dout = widened(values.dout);
  thread_pool pool(1);
  context host{pool};
  twin.forward(host);
  twin.backward(host);
  EXPECT_LT(test::relative_error(values.dqkv.values(), to_double(twin.dqkv.values())), backward_limit_);
}

/// New rows [begin, end) of a sequence.
struct piece {
  size_t sequence;
  int64_t begin, end;

  bool absent() const { return begin < 0; }
};
constexpr piece absent{0, -1, 0};

/// The sequences of a case in pages, which are full of NaN at first.
class paged_case {
public:
  paged_case(attention_case& values, dtype type)
      : values_(values), type_(type), stride_(divide_up(values.rows, attention_tile) + 1),
        page_values_(values.shape.kv_heads * values.shape.head_width * attention_tile),
        keys_(std::vector<float>(static_cast<size_t>(pages() * page_values_), NAN), type), cached_(keys_) {}

  /// What the pieces' rows come to, [N, H, K] of them all. Shapes are as for sequences of `most` positions at least.
  std::vector<float> attend(context& ctx, const std::vector<piece>& pieces, int64_t most = 0) {
    const attention_shape& shape = values_.shape;
    const int64_t width = shape.heads * shape.head_width;
    const std::vector<float> all = values_.qkv.values();
    std::vector<float> qkv;
    std::vector<int64_t> row_S1{0};
    std::vector<int32_t> position_S, page_SP;
    int64_t longest = most;
    for (const piece& p : pieces) {
      const int64_t first = values_.offset[p.sequence] + p.begin;
      if (p.absent()) {
        qkv.insert(qkv.end(), static_cast<size_t>(shape.row_width()), NAN);
      } else {
        qkv.insert(qkv.end(), all.begin() + first * shape.row_width(),
                   all.begin() + (first + p.end - p.begin) * shape.row_width());
      }
      row_S1.push_back(row_S1.back() + p.end - p.begin);
      position_S.push_back(static_cast<int32_t>(p.begin));
      for (int64_t page = 0; page < stride_; ++page) {
        page_SP.push_back(page_of(p.sequence, page));
      }
      longest = std::max(longest, p.end);
    }
    operand in(qkv, type_), out(std::vector<float>(static_cast<size_t>(row_S1.back() * width), NAN), type_);
    paged_attention_forward(ctx, {.shape = shape,
                                  .out_NHK = out.data(),
                                  .qkv_NE = in.data(),
                                  .pages = {.keys = keys_.data(), .values = cached_.data()},
                                  .where = {.page_SP = page_SP.data(),
                                            .row_S1 = row_S1.data(),
                                            .position_S = position_S.data(),
                                            .sequences = static_cast<int64_t>(pieces.size()),
                                            .stride = stride_,
                                            .rows = row_S1.back(),
                                            .longest = longest}});
    return out.values();
  }

  /// What the pages hold.
  std::vector<std::vector<uint32_t>> contents() const { return {bits(keys_.values()), bits(cached_.values())}; }

  /// The same rows of the packed form.
  std::vector<float> packed(const std::vector<piece>& pieces) const {
    const int64_t width = values_.shape.heads * values_.shape.head_width;
    const std::vector<float> all = values_.out.values();
    std::vector<float> rows;
    for (const piece& p : pieces) {
      const int64_t first = values_.offset[p.sequence] + p.begin;
      rows.insert(rows.end(), all.begin() + first * width, all.begin() + (first + p.end - p.begin) * width);
    }
    return rows;
  }

private:
  int64_t sequences() const { return static_cast<int64_t>(values_.offset.size()) - 1; }
  int64_t pages() const { return sequences() * stride_; }
  /// In falling order, so that neither a sequence's pages nor the sequences follow each other.
  int32_t page_of(size_t sequence, int64_t page) const {
    return static_cast<int32_t>(pages() - 1 - (page * sequences() + static_cast<int64_t>(sequence)));
  }

  attention_case& values_;
  dtype type_;
  int64_t stride_, page_values_;
  operand keys_, cached_;
};

/// Rows that stay in the warps of one position, and rows that fill blocks, in one call or another.
TEST_P(CudaAttentionTest, PromptsInPagesHaveTheBitsOfThePackedForm) {
  attention_case values(problem_, type_);
  values.forward(card_.ctx);
  for (const int64_t chunk : {3, 70, 600}) {
    if (chunk < 10 && values.rows > 75) {
      continue;
    }
    paged_case paged(values, type_);
    int64_t longest = 0;
    for (size_t s = 0; s + 1 < values.offset.size(); ++s) {
      longest = std::max(longest, values.length(s));
    }
    for (int64_t begin = 0; begin < longest; begin += chunk) {
      std::vector<piece> pieces;  // also of sequences that have no rows any more
      for (size_t s = 0; s + 1 < values.offset.size(); ++s) {
        pieces.push_back({s, std::min(begin, values.length(s)), std::min(begin + chunk, values.length(s))});
      }
      ASSERT_EQ(bits(paged.attend(card_.ctx, pieces)), bits(paged.packed(pieces))) << "from " << begin;
    }
  }
}

TEST_P(CudaAttentionTest, TheOrderOfThreadsDoesNotMatter) {
  if (problem_.offset_B1.back() > 75) {
    GTEST_SKIP() << "shorter sequences have the same barriers";
  }
  std::vector<std::vector<uint32_t>> packed, paged, decoded, lse, dqkv;
  for (const emulation::thread_order order : test::thread_orders) {
    emulated_context card(order);
    attention_case values(problem_, type_);
    values.forward(card.ctx);
    packed.push_back(bits(values.out.values()));
    lse.push_back(bits(values.lse));
    values.backward(card.ctx);
    dqkv.push_back(bits(values.dqkv.values()));
    paged_case pages(values, type_);
    std::vector<piece> whole, last;
    for (size_t s = 0; s + 1 < values.offset.size(); ++s) {
      whole.push_back({s, 0, values.length(s)});
      last.push_back({s, std::max<int64_t>(values.length(s) - 1, 0), values.length(s)});
    }
    paged.push_back(bits(pages.attend(card.ctx, whole)));
    decoded.push_back(bits(pages.attend(card.ctx, last)));
  }
  for (const auto& results : {packed, paged, decoded, lse, dqkv}) {
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudaAttentionTest,
                         testing::Combine(testing::ValuesIn(problems), testing::Values(dtype::bf16, dtype::f32)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param).name) + to_string(std::get<1>(info.param));
                         });

class CudaAttentionBatchTest : public testing::TestWithParam<dtype> {};

TEST_P(CudaAttentionBatchTest, GradientsOfASequenceDoNotDependOnTheOthers) {
  emulated_context card;
  attention_case both({"", 2, 1, 24, {0, 70, 170}}, GetParam());
  both.forward(card.ctx);
  both.backward(card.ctx);
  attention_case second({"", 2, 1, 24, {0, 100}}, GetParam());
  const auto rows_from_70 = [&](const operand& of) {
    const std::vector<float> values = of.values();
    return std::vector<float>(values.begin() + static_cast<std::ptrdiff_t>(values.size() / 170 * 70), values.end());
  };
  second.qkv = operand(rows_from_70(both.qkv), GetParam());
  second.dout = operand(rows_from_70(both.dout), GetParam());
  second.forward(card.ctx);
  second.backward(card.ctx);
  EXPECT_EQ(bits(second.out.values()), bits(rows_from_70(both.out)));
  EXPECT_EQ(bits(second.dqkv.values()), bits(rows_from_70(both.dqkv)));
}

INSTANTIATE_TEST_SUITE_P(Types, CudaAttentionBatchTest, testing::Values(dtype::bf16, dtype::f32),
                         [](const auto& info) { return std::string(to_string(info.param)); });

class CudaDecodedRowsTest : public testing::TestWithParam<dtype> {};

TEST_P(CudaDecodedRowsTest, FiveHundredHaveTheBitsOfThePackedForm) {
  emulated_context card;
  attention_case values({"", 1, 1, 8, {0, 500}}, GetParam());
  values.forward(card.ctx);
  paged_case paged(values, GetParam());
  int64_t differ = 0;
  for (int64_t row = 0; row < 500; ++row) {
    const std::vector<piece> one{{0, row, row + 1}};
    differ += bits(paged.attend(card.ctx, one)) == bits(paged.packed(one)) ? 0 : 1;
  }
  EXPECT_EQ(differ, 0);
}

/// Spans in blocks of their own; sequences of any length beside each other, and one that has no new row.
TEST_P(CudaDecodedRowsTest, InAnyBatchAndPastAnySpanTheyAreTheSame) {
  emulated_context card;
  attention_case values({"", 2, 1, 16, {0, 1100, 1101, 1164, 1677}, true}, GetParam());
  values.forward(card.ctx);
  paged_case paged(values, GetParam());
  std::vector<piece> prompts;
  for (size_t s = 0; s < 4; ++s) {
    prompts.push_back({s, 0, values.length(s)});
  }
  ASSERT_EQ(bits(paged.attend(card.ctx, prompts)), bits(paged.packed(prompts)));
  for (const int64_t position : {0, 63, 64, 511, 512, 1023, 1024, 1099}) {
    const std::vector<piece> batch{{3, std::min<int64_t>(position, 512), std::min<int64_t>(position, 512) + 1},
                                   {2, 40, 40},
                                   {0, position, position + 1},
                                   {1, 0, 1},
                                   {2, 60, 62}};
    ASSERT_EQ(bits(paged.attend(card.ctx, batch)), bits(paged.packed(batch))) << position;
    const std::vector<piece> alone{{0, position, position + 1}};
    ASSERT_EQ(bits(paged.attend(card.ctx, alone)), bits(paged.packed(alone))) << position;
  }
}

TEST_P(CudaDecodedRowsTest, TwoSpansAreTheSameInAnyOrderOfThreads) {
  attention_case values({"", 1, 1, 8, {0, 520}}, GetParam());
  const std::vector<piece> prompt{{0, 0, 519}}, next{{0, 519, 520}};
  std::vector<std::vector<uint32_t>> decoded;
  for (const emulation::thread_order order : test::thread_orders) {
    emulated_context card(order);
    paged_case paged(values, GetParam());
    paged.attend(card.ctx, prompt);
    decoded.push_back(bits(paged.attend(card.ctx, next)));
  }
  EXPECT_EQ(decoded[0], decoded[1]);
  EXPECT_EQ(decoded[0], decoded[2]);
}

/// More sequences than a warp has lanes: each finds its own.
TEST_P(CudaDecodedRowsTest, OfManySequencesEachFindsItsOwn) {
  emulated_context card;
  std::vector<int64_t> offset{0};
  for (int64_t s = 0; s < 70; ++s) {
    offset.push_back(offset.back() + 1 + s % 3);
  }
  attention_case values({"", 1, 1, 8, offset}, GetParam());
  values.forward(card.ctx);
  paged_case paged(values, GetParam());
  for (const int64_t taken : {1, 2, 33, 70}) {
    std::vector<piece> pieces;
    for (size_t s = 0; s < static_cast<size_t>(taken); ++s) {
      pieces.push_back({s, 0, s % 5 == 4 ? 0 : values.length(s)});
    }
    ASSERT_EQ(bits(paged.attend(card.ctx, pieces)), bits(paged.packed(pieces))) << taken;
  }
}

/// Calls of one shape, of more or fewer sequences, as recordings have them.
TEST_P(CudaDecodedRowsTest, AbsentSequencesChangeNothingAndTouchNoPage) {
  for (const int64_t kv_heads : {1, 2}) {
    emulated_context card;
    attention_case values({"", 2, kv_heads, 16, {0, 600, 640}, true}, GetParam());
    values.forward(card.ctx);
    paged_case paged(values, GetParam());
    const std::vector<piece> prompts{{0, 0, 599}, {1, 0, 39}};
    paged.attend(card.ctx, prompts);
    const std::vector<piece> two{{0, 599, 600}, {1, 39, 40}};
    const std::vector<uint32_t> want = bits(paged.packed(two));
    ASSERT_EQ(bits(paged.attend(card.ctx, two)), want);
    const auto before = paged.contents();
    std::vector<piece> padded{two[0], absent, two[1]};
    padded.resize(40, absent);
    for (const int64_t most : {0, 513, 5000}) {
      const std::vector<uint32_t> got = bits(paged.attend(card.ctx, padded, most));
      const size_t row = want.size() / 2;
      EXPECT_TRUE(std::equal(want.begin(), want.begin() + static_cast<std::ptrdiff_t>(row), got.begin())) << most;
      EXPECT_TRUE(std::equal(want.begin() + static_cast<std::ptrdiff_t>(row), want.end(),
                             got.begin() + static_cast<std::ptrdiff_t>(2 * row)))
          << most;
      EXPECT_EQ(paged.contents(), before) << most;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaDecodedRowsTest, testing::Values(dtype::bf16, dtype::f32),
                         [](const auto& info) { return std::string(to_string(info.param)); });

/// More queries of one position than a warp has rows: still a decoded row, whose spans have blocks of their own.
TEST(CudaDecodedHeadsTest, RowsOfManyHeadsOnOneKeyHeadAreDecodedToo) {
  emulated_context card;
  attention_case values({"", 32, 1, 8, {0, 520, 523}, true}, dtype::bf16);
  values.forward(card.ctx);
  paged_case paged(values, dtype::bf16);
  const std::vector<piece> prompts{{0, 0, 519}, {1, 0, 2}};
  ASSERT_EQ(bits(paged.attend(card.ctx, prompts)), bits(paged.packed(prompts)));
  const std::vector<piece> alone{{0, 519, 520}}, two{{0, 519, 520}, {1, 2, 3}}, more{{0, 518, 520}, {1, 2, 3}};
  const auto kernels_of = [&](const std::vector<piece>& pieces) {
    const uint64_t before = emulation::counted().kernels;
    EXPECT_EQ(bits(paged.attend(card.ctx, pieces)), bits(paged.packed(pieces)));
    return emulation::counted().kernels - before;
  };
  EXPECT_EQ(kernels_of(alone), 3U);  // the third folds spans
  EXPECT_EQ(kernels_of(two), 3U);
  EXPECT_EQ(kernels_of(more), 2U);
  const std::vector<piece> padded{two[0], absent, absent};
  const std::vector<uint32_t> got = bits(paged.attend(card.ctx, padded, 2000)), want = bits(paged.packed(alone));
  EXPECT_TRUE(std::equal(want.begin(), want.end(), got.begin()));
}

}  // namespace
}  // namespace troupe::kernels
