#include "engine/models/position_tables.hpp"

#include "engine/tensor/transfer.hpp"

#include <bit>
#include <cmath>
#include <numbers>
#include <span>
#include <utility>

namespace troupe::engine {

static double llama3_frequency(double frequency, const rotary_description& r) {
  const double turns = static_cast<double>(r.original_positions) * frequency / (2 * std::numbers::pi);
  if (turns < r.low_frequency_factor) {
    return frequency / r.factor;
  }
  if (turns > r.high_frequency_factor) {
    return frequency;
  }
  const double s = (turns - r.low_frequency_factor) / (r.high_frequency_factor - r.low_frequency_factor);
  return s * frequency + (1 - s) * frequency / r.factor;
}

std::vector<double> rotary_frequencies(const rotary_description& rotary) {
  std::vector<double> frequencies;
  for (int64_t i = 0; i < rotary.rotated; i += 2) {
    const double frequency = std::pow(rotary.theta, -static_cast<double>(i) / static_cast<double>(rotary.rotated));
    switch (rotary.scaling) {
    case rotary_scaling::none:
      frequencies.push_back(frequency);
      break;
    case rotary_scaling::linear:
      frequencies.push_back(frequency / rotary.factor);
      break;
    case rotary_scaling::llama3:
      frequencies.push_back(llama3_frequency(frequency, rotary));
      break;
    }
  }
  return frequencies;
}

rotary_tables make_rotary_tables(const rotary_description& rotary, int64_t positions) {
  const std::vector<double> frequencies = rotary_frequencies(rotary);
  const auto half = static_cast<int64_t>(frequencies.size());
  rotary_tables tables{.cos_PR2 = aligned_buffer<float>(positions * half),
                       .sin_PR2 = aligned_buffer<float>(positions * half)};
  for (int64_t p = 0; p < positions; ++p) {
    for (int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(p) * frequencies[static_cast<size_t>(i)];
      tables.cos_PR2[p * half + i] = static_cast<float>(std::cos(angle));
      tables.sin_PR2[p * half + i] = static_cast<float>(std::sin(angle));
    }
  }
  return tables;
}

std::vector<float> alibi_slopes(int64_t heads) {
  const auto whole = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(heads)));
  std::vector<float> slopes;
  for (int64_t h = 1; h <= whole; ++h) {
    slopes.push_back(static_cast<float>(std::exp2(-8.0 * static_cast<double>(h) / static_cast<double>(whole))));
  }
  for (int64_t i = 1; i <= heads - whole; ++i) {
    slopes.push_back(
        static_cast<float>(std::exp2(-8.0 * static_cast<double>(2 * i - 1) / static_cast<double>(2 * whole))));
  }
  return slopes;
}

constant_tables position_constants::on_host() const {
  return {.cos_PR2 = rotary.cos_PR2.data(),
          .sin_PR2 = rotary.sin_PR2.data(),
          .alibi_slope_H = alibi_slope_H.empty() ? nullptr : alibi_slope_H.data()};
}

static void copy_to(context& ctx, std::span<const float> values, buffer& on_card) {
  if (!values.empty()) {
    send(ctx, on_card.floats(ctx, static_cast<int64_t>(values.size())), values.data(),
         static_cast<int64_t>(values.size_bytes()));
  }
}

constant_tables constants_on_card::of(context& ctx, const position_constants_ptr& constants) {
  auto found = all_.find(constants);
  if (found == all_.end()) {
    copies made;
    copy_to(ctx, constants->rotary.cos_PR2.span(), made.cos);
    copy_to(ctx, constants->rotary.sin_PR2.span(), made.sin);
    copy_to(ctx, constants->alibi_slope_H, made.slopes);
    found = all_.emplace(constants, std::move(made)).first;
  }
  const copies& there = found->second;
  return {.cos_PR2 = there.cos.data(), .sin_PR2 = there.sin.data(), .alibi_slope_H = there.slopes.data()};
}

}  // namespace troupe::engine
