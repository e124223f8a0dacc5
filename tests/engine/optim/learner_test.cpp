#include "base/aligned.hpp"
#include "base/error.hpp"
#include "base/random.hpp"
#include "engine/optim/average.hpp"
#include "engine/optim/learner.hpp"
#include "support/fixture.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace troupe::engine {
namespace {

struct LearnerTest : testing::Test {
  thread_pool pool{2};
  context ctx{pool};
  parameter_layout layout;

  LearnerTest() {
    layout.add_matrix("w", 5, 7);
    layout.add_vector("b", 7);
  }

  aligned_buffer<float> arena() const { return aligned_buffer<float>(layout.arena_size()); }
  void write(const char* name, const std::vector<float>& values, float* to) const {
    write_parameter(layout.at(name), values, to);
  }
  void expect_near(const char* name, const float* from, const std::vector<double>& expected, double limit) const {
    const auto got = read_parameter(layout.at(name), from);
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_NEAR(got[i], expected[i], limit) << name << " at " << i;
    }
  }
  /// Onto the arena, a gradient that only this micro-batch has.
  void add_gradient(int64_t micro_batch, float* to) const {
    for (int64_t i = 0; i < layout.arena_size(); ++i) {
      to[i] += static_cast<float>(random_normal({7, static_cast<uint64_t>(micro_batch)}, i));
    }
  }
};

TEST_F(LearnerTest, UpdatesAreThoseOfAdamW) {
  const test::fixture f("tiny/math/adamw.safetensors");
  adamw_settings settings;
  settings.weight_decay = 0.1;
  learner learns(layout, settings);
  auto weights = arena();
  write("w", f.floats("w0"), weights.data());
  write("b", f.floats("b0"), weights.data());
  for (int64_t k = 0; k < 3; ++k) {
    const std::string step = std::to_string(k) + ".";
    float* gradients = learns.gradients(ctx, 0);
    write("w", f.floats(step + "grad_w"), gradients);
    write("b", f.floats(step + "grad_b"), gradients);
    const update_report report = learns.update(ctx, weights.data(), f.number("lr"));
    EXPECT_EQ(report.update, k + 1);
    EXPECT_NEAR(report.gradient_norm, f.number(step + "grad_norm"), 1e-6);
    expect_near("w", weights.data(), f.doubles(step + "w"), 1e-6);
    expect_near("b", weights.data(), f.doubles(step + "b"), 1e-6);
    expect_near("w", learns.first_moment().data(), f.doubles(step + "m_w"), 1e-7);
    expect_near("w", learns.second_moment().data(), f.doubles(step + "v_w"), 1e-7);
  }
}

TEST_F(LearnerTest, PaddingStaysZero) {
  adamw_settings settings;
  settings.weight_decay = 0.1;
  learner learns(layout, settings);
  auto weights = arena();
  write("w", std::vector<float>(35, 1.0F), weights.data());
  write("w", std::vector<float>(35, 0.5F), learns.gradients(ctx, 0));
  learns.update(ctx, weights.data(), 1e-2);
  int64_t zeros = 0;
  for (const float w : weights) {
    zeros += std::bit_cast<uint32_t>(w) == 0 ? 1 : 0;
  }
  EXPECT_EQ(zeros, layout.arena_size() - 35);
}

/// The sum by the definition: each lane in order, then the tree.
std::vector<float> sum_by_lanes(const LearnerTest& t, int64_t lanes, int64_t micro_batches) {
  std::vector<std::vector<float>> sums(static_cast<size_t>(lanes),
                                       std::vector<float>(static_cast<size_t>(t.layout.arena_size())));
  for (int64_t j = 0; j < micro_batches; ++j) {
    t.add_gradient(j, sums[static_cast<size_t>(j % lanes)].data());
  }
  for (size_t apart = 1; apart < sums.size(); apart *= 2) {
    for (size_t lane = 0; lane + apart < sums.size(); lane += 2 * apart) {
      for (size_t i = 0; i < sums[lane].size(); ++i) {
        sums[lane][i] += sums[lane + apart][i];
      }
    }
  }
  return sums[0];
}

TEST_F(LearnerTest, LanesAreJoinedByTheFixedTree) {
  for (const int64_t lanes : {1, 2, 4, 8}) {
    learner learns(layout, {}, lanes);
    lane_sums sums(layout.arena_size(), lanes);
    for (const int64_t micro_batches : {0, 1, 3, 8, 11}) {
      for (const int64_t j : learns.order(micro_batches)) {
        add_gradient(j, sums.enter(ctx, j % lanes));
      }
      // In two pieces, as segments are.
      const int64_t half = layout.arena_size() / 2;
      sums.joined(ctx, half, layout.arena_size() - half);
      const float* joined = sums.joined(ctx, 0, half);
      const auto expected = sum_by_lanes(*this, lanes, micro_batches);
      for (size_t i = 0; i < expected.size(); ++i) {
        ASSERT_EQ(std::bit_cast<uint32_t>(joined[i]), std::bit_cast<uint32_t>(expected[i]))
            << lanes << " lanes, " << micro_batches << " micro-batches, at " << i;
      }
      sums.clear();
    }
    EXPECT_LE(sums.buffers(), lane_sums::buffers_for(lanes));
  }
}

TEST_F(LearnerTest, LanesTakeALogarithmOfArenas) {
  const int64_t arena_bytes = layout.arena_size() * 4;
  EXPECT_EQ(learner(layout, {}, 1).bytes(100), 3 * arena_bytes);
  EXPECT_EQ(learner(layout, {}, 8).bytes(100), (4 + 2) * arena_bytes);
  EXPECT_EQ(learner(layout, {}, 8).bytes(1), 3 * arena_bytes);
}

TEST_F(LearnerTest, MicroBatchesOutOfOrderAreAnError) {
  learner learns(layout, {}, 2);
  EXPECT_EQ(learns.order(5), (std::vector<int64_t>{0, 2, 4, 1, 3}));
  learns.gradients(ctx, 0);
  learns.gradients(ctx, 1);
  EXPECT_THROW(learns.gradients(ctx, 2), error);
  learns.finish(ctx);
  EXPECT_THROW(learns.gradients(ctx, 3), error);
}

TEST_F(LearnerTest, ANormThatIsNotFiniteLeavesEverythingAsItWas) {
  learner learns(layout, {});
  auto weights = arena();
  write("b", std::vector<float>(7, 1.0F), weights.data());
  learns.gradients(ctx, 0)[3] = std::numeric_limits<float>::quiet_NaN();
  try {
    learns.update(ctx, weights.data(), 1e-3);
    FAIL() << "no error";
  } catch (const error& e) {
    EXPECT_EQ(e.code(), errc::not_finite);
    EXPECT_NE(std::string(e.what()).find("update 1 "), std::string::npos) << e.what();
  }
  EXPECT_EQ(read_parameter(layout.at("b"), weights.data()), std::vector<float>(7, 1.0F));
  EXPECT_EQ(learns.updates(), 0);
  EXPECT_EQ(learns.gradients(ctx, 0)[3], 0.0F);
}

TEST_F(LearnerTest, SettingsThatCannotBeAreErrors) {
  EXPECT_THROW(learner(layout, {}, 3), error);
  EXPECT_THROW(learner(layout, {}, 0), error);
  adamw_settings settings;
  settings.beta2 = 1.0;
  EXPECT_THROW(learner(layout, settings), error);
}

TEST_F(LearnerTest, TheAverageStartsAtTheWeightsAndFollows) {
  auto weights = arena();
  write("b", {1, 2, 3, 4, 5, 6, 7}, weights.data());
  const auto plan = std::make_shared<shard_plan>(layout, std::vector<arena_range>{{0, layout.arena_size()}}, 1);
  weight_average average(plan, nullptr, weights.data(), 0.75);
  write("b", {5, 2, 3, 4, 5, 6, 7}, weights.data());
  average.fold(ctx, weights.data());
  const auto b = read_parameter(layout.at("b"), average.weights().data());
  EXPECT_FLOAT_EQ(b[0], 2.0F);
  EXPECT_FLOAT_EQ(b[6], 7.0F);
  EXPECT_THROW(weight_average(plan, nullptr, weights.data(), 1.0), error);
}

}  // namespace
}  // namespace troupe::engine
