#include "base/error.hpp"
#include "engine/generate/kv_cache.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace troupe::engine {
namespace {

model_description small_model() {
  model_description d;
  d.layers = 3;
  d.heads = 4;
  d.kv_heads = 2;
  d.head_width = 8;
  return d;
}

std::vector<float> page_of(const kv_cache& cache, int32_t page) {
  const int64_t floats = kv_cache::page_bytes(small_model()) / 4 / 3 / 2;
  std::vector<float> all;
  for (const kernels::kv_pages& layer : cache.layers()) {
    for (const float* half : {layer.keys, layer.values}) {
      all.insert(all.end(), half + page * floats, half + (page + 1) * floats);
    }
  }
  return all;
}

void fill(kv_cache& cache, int32_t page, float value) {
  const int64_t floats = kv_cache::page_bytes(small_model()) / 4 / 3 / 2;
  for (const kernels::kv_pages& layer : cache.layers()) {
    std::fill_n(layer.keys.as<float>() + page * floats, floats, value);
    std::fill_n(layer.values.as<float>() + page * floats, floats, -value);
  }
}

TEST(KvCache, APageHoldsKeysAndValuesOfAllLayers) {
  EXPECT_EQ(kv_cache::page_bytes(small_model()), 3 * 2 * (2 * 8 * 64) * 4);
  EXPECT_EQ(kv_cache::pages_for(0), 0);
  EXPECT_EQ(kv_cache::pages_for(64), 1);
  EXPECT_EQ(kv_cache::pages_for(65), 2);
}

TEST(KvCache, PagesAreHandedOutZeroedAndOnlyOnce) {
  kv_cache cache(small_model(), 2);
  const int32_t a = cache.acquire().value();
  const int32_t b = cache.acquire().value();
  EXPECT_NE(a, b);
  EXPECT_FALSE(cache.acquire().has_value());
  fill(cache, a, 7.0F);
  fill(cache, b, 8.0F);
  cache.release(a);
  EXPECT_EQ(cache.acquire().value(), a);
  for (const float x : page_of(cache, a)) {
    ASSERT_EQ(x, 0.0F);
  }
  EXPECT_EQ(page_of(cache, b).front(), 8.0F);
  EXPECT_EQ(page_of(cache, b).back(), -8.0F);
}

TEST(KvCache, APageIsFreeWhenItsLastOwnerIsGone) {
  kv_cache cache(small_model(), 1);
  const int32_t page = cache.acquire().value();
  cache.share(page);
  cache.release(page);
  EXPECT_EQ(cache.free_pages(), 0);
  EXPECT_THROW(cache.release_memory(), error);
  cache.release(page);
  EXPECT_EQ(cache.free_pages(), 1);
}

TEST(KvCache, ACopyIsTheWholePageAndLeavesTheOther) {
  kv_cache cache(small_model(), 2);
  const int32_t from = cache.acquire().value();
  const int32_t to = cache.acquire().value();
  fill(cache, from, 3.0F);
  cache.copy(from, to);
  EXPECT_EQ(page_of(cache, to), page_of(cache, from));
}

TEST(KvCache, MemoryComesBackAfterARelease) {
  kv_cache cache(small_model(), 2);
  EXPECT_EQ(cache.layers()[0].keys, nullptr);
  cache.release(cache.acquire().value());
  cache.release_memory();
  EXPECT_EQ(cache.layers()[0].keys, nullptr);
  const int32_t page = cache.acquire().value();
  EXPECT_EQ(page_of(cache, page).front(), 0.0F);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(cache.layers()[2].values.data()) % 64, 0U);
}

TEST(KvCache, ABudgetOfNothingIsAnError) {
  EXPECT_THROW(kv_cache(small_model(), 0), error);
  EXPECT_THROW(kv_cache(small_model(), int64_t{1} << 40), error);
}

}  // namespace
}  // namespace troupe::engine
