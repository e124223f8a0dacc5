// Models in memory in bfloat16: what is rounded, what is kept beside it, and what is told.
#include "actors/models/model_files.hpp"
#include "support/local_ranks.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

namespace troupe::actors {
namespace {

const std::string gpt2 = test_data() + "/tiny/gpt2";

/// What the log says while it lives.
class heard_log {
public:
  heard_log() { sinks().push_back(sink_); }
  ~heard_log() { sinks().pop_back(); }
  heard_log(const heard_log&) = delete;
  heard_log& operator=(const heard_log&) = delete;
  std::string text() const { return lines_.str(); }

private:
  static std::vector<spdlog::sink_ptr>& sinks() { return spdlog::default_logger()->sinks(); }
  std::ostringstream lines_;
  spdlog::sink_ptr sink_ = std::make_shared<spdlog::sinks::ostream_sink_mt>(lines_);
};

std::vector<float> values_of(const engine::rank_weights& weights) {
  std::vector<float> values;
  for (int64_t i = 0; i < weights.size(); ++i) {
    const const_reals at = weights.data() + i;
    values.push_back(at.type() == dtype::bf16 ? to_float(*at.as<bf16>()) : *at.as<float>());
  }
  return values;
}

std::vector<float> rounded(std::vector<float> values) {
  std::transform(values.begin(), values.end(), values.begin(), [](float value) { return to_float(to_bf16(value)); });
  return values;
}

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(WeightTypes, OfAFrozenModelAreRoundedAndItIsToldOnce) {
  const std::vector<float> stored = values_of(load_model(gpt2, head_kind::language_model)->weights);
  const heard_log log;
  const model_ptr m = load_model(gpt2, head_kind::language_model, {.type = dtype::bf16});
  EXPECT_EQ(values_of(m->weights), rounded(stored));
  EXPECT_NE(rounded(stored), stored);
  EXPECT_EQ(m->masters, nullptr);
  EXPECT_EQ(m->weights.type(), dtype::bf16);
  const std::string told = log.text();
  EXPECT_NE(told.find(gpt2 + ": weights of type f32 are rounded to bf16"), std::string::npos) << told;
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 1) << told;
}

TEST(WeightTypes, FilesOfTheSameTypeLoseNothing) {
  const test::temporary_folder folder;
  const model_ptr m = load_model(gpt2, head_kind::language_model);
  save_model(*m, m->weights.data(), folder / "bf16", {.type = dtype::bf16});
  const heard_log log;
  const model_ptr narrow = load_model(folder / "bf16", head_kind::language_model, {.type = dtype::bf16});
  EXPECT_EQ(values_of(narrow->weights), values_of(load_model(folder / "bf16", head_kind::language_model)->weights));
  EXPECT_EQ(log.text(), "");
}

TEST(WeightTypes, AModelThatLearnsKeepsTheFilesOwnValuesAndIsSavedFromThem) {
  const test::temporary_folder folder;
  const model_ptr stored = load_model(gpt2, head_kind::language_model);
  const heard_log log;
  const model_ptr m = load_model(gpt2, head_kind::language_model, {.type = dtype::bf16, .learns = true});
  ASSERT_NE(m->masters, nullptr);
  EXPECT_EQ(values_of(*m->masters), values_of(stored->weights));
  EXPECT_EQ(values_of(m->weights), rounded(values_of(stored->weights)));
  EXPECT_EQ(log.text(), "") << "nothing is lost";
  save_model(*stored, stored->learned().data(), folder / "f32", {});
  save_model(*m, m->learned().data(), folder / "bf16", {});
  const std::string saved = bytes_of(folder / "f32/model.safetensors");
  EXPECT_FALSE(saved.empty());
  EXPECT_EQ(bytes_of(folder / "bf16/model.safetensors"), saved);
  EXPECT_EQ(load_model(gpt2, head_kind::language_model, {.learns = true})->masters, nullptr) << "float32 is its own";
}

TEST(WeightTypes, RanksThatShareAModelHoldTheirPartsOfBoth) {
  const model_ptr whole = random_model(gpt2, head_kind::scalar, 7);
  test::as_local_ranks(2, [&](engine::world& here) {
    const model_loading how{
        .type = dtype::bf16, .learns = true, .group = here.open("weights"), .master_group = here.open("masters")};
    const model_ptr part = random_model(gpt2, head_kind::scalar, 7, how);
    const std::vector<float> all = values_of(whole->weights);
    const std::vector<float> masters = values_of(*part->masters);
    const std::vector<float> weights = values_of(part->weights);
    const engine::shard_plan& plan = *part->weights.plan();
    for (int64_t s = 0; s < plan.segments(); ++s) {
      for (int64_t i = plan.segment(s).first; i < plan.segment(s).last; ++i) {
        const auto at = static_cast<size_t>(i);
        const bool own = i >= plan.part(s, here.rank()).first && i < plan.part(s, here.rank()).last;
        ASSERT_EQ(masters[at], own ? all[at] : 0);
        ASSERT_EQ(weights[at], own ? to_float(to_bf16(all[at])) : 0);
      }
    }
  });
}

}  // namespace
}  // namespace troupe::actors
