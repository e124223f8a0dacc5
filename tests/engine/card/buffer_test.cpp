// Memory of passes on a card: where it runs out, what follows is as before.
#include "engine/generate/kv_cache.hpp"
#include "engine/tensor/buffer.hpp"
#include "engine/tensor/call_sheet.hpp"
#include "engine/tensor/transfer.hpp"
#include "support/emulation/emulated_card.hpp"
#include "support/errors.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <span>
#include <vector>

namespace troupe::engine {
namespace {

class CardBuffers : public testing::Test {
protected:
  /// A card of sixteen pages.
  std::unique_ptr<device> card_ = emulation::make_card({.bytes = 1 << 20, .page_bytes = 64 << 10});
  thread_pool pool_{1};
  context ctx_{pool_, card_.get()};
};

TEST_F(CardBuffers, WhatCannotBeMappedIsNotTakenForRoom) {
  buffer numbers;
  test::expect_error(errc::out_of_memory, "buffers of passes", [&] { numbers.floats(ctx_, 1 << 20); });
  std::vector<float> values(1000);
  std::iota(values.begin(), values.end(), 0.0F);
  send(ctx_, numbers.floats(ctx_, 1000), values.data(), 4000);
  std::vector<float> back(1000);
  fetch(ctx_, std::span(back), numbers.data().data());
  EXPECT_EQ(back, values);
}

/// The call of a copy to or from memory that is not pinned may wait, so that it is made only when nothing else is under
/// way.
TEST_F(CardBuffers, WhoWaitsForAHangingCardBeginsNoCopy) {
  bool hangs = false;
  const auto card = emulation::make_card({.hangs = &hangs, .name = "card 7"});
  card->set_patience(std::chrono::milliseconds(20));
  context ctx{pool_, card.get()};
  buffer numbers;
  std::vector<float> values(100, 1.0F);
  float* const there = numbers.floats(ctx, 100);
  send(ctx, there, values.data(), 400);
  hangs = true;
  std::vector<float> back(100, 2.0F);
  test::expect_error(errc::device_failure, "card 7: its work is not done", [&] { fetch(ctx, std::span(back), there); });
  EXPECT_EQ(back, std::vector<float>(100, 2.0F));
  test::expect_error(errc::device_failure, "card 7: its work is not done", [&] { send(ctx, there, back.data(), 400); });
  hangs = false;
  fetch(ctx, std::span(back), there);
  EXPECT_EQ(back, values);
}

TEST_F(CardBuffers, GrowAndGiveBack) {
  const int64_t before = card_->use().free;
  {
    buffer numbers;
    numbers.floats(ctx_, 10);
    numbers.floats(ctx_, 100'000);
    EXPECT_EQ(card_->use().free, before - 7 * (64 << 10));
    buffer other = std::move(numbers);
    EXPECT_EQ(other.size_bytes(), 400'000);
  }
  EXPECT_EQ(card_->use().free, before);
}

TEST_F(CardBuffers, ACacheThatDoesNotFitMayBeTriedAgain) {
  const model_description model{.vocabulary = 8, .width = 8, .layers = 1, .heads = 1, .kv_heads = 1, .head_width = 64};
  kv_cache cache(model, 100, card_.get(), dtype::f32);
  for (int i = 0; i < 2; ++i) {
    test::expect_error(errc::out_of_memory, "keys and values", [&] { static_cast<void>(cache.acquire()); });
  }
}

/// More calls than the sheet has memory for at a time.
TEST_F(CardBuffers, ASheetSendsAllArraysOfACall) {
  call_sheet sheet;
  for (int32_t call = 0; call < 10; ++call) {
    const std::vector<int32_t> small = {call, call + 1, call + 2};
    const std::vector<double> wide = {call + 0.5};
    sheet.begin();
    const size_t first = sheet.add(std::span<const int32_t>(small));
    const size_t none = sheet.add(std::span<const int32_t>());
    const size_t second = sheet.add(std::span<const double>(wide));
    sheet.send(ctx_);
    std::vector<int32_t> small_back(3);
    std::vector<double> wide_back(1);
    fetch(ctx_, std::span(small_back), sheet.at<int32_t>(first));
    fetch(ctx_, std::span(wide_back), sheet.at<double>(second));
    EXPECT_EQ(small_back, small);
    EXPECT_EQ(wide_back, wide);
    EXPECT_LE(sheet.at<std::byte>(none), sheet.at<std::byte>(second));
  }
}

}  // namespace
}  // namespace troupe::engine
