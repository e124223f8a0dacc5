/// Requests for generators, and equality of what they give.
#pragma once

#include "engine/generate/generator.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

namespace troupe::test {

/// Some length of ids that stories260k can read.
inline std::vector<int32_t> prompt_of(int64_t length, int64_t seed) {
  std::vector<int32_t> ids{1};
  for (int64_t i = 1; i < length; ++i) {
    ids.push_back(static_cast<int32_t>(3 + (seed * 131 + i * i * 17) % 500));
  }
  return ids;
}

inline engine::generation_request request_of(std::vector<uint64_t> ids, std::vector<int32_t> prompt,
                                             int64_t max_new_tokens) {
  engine::generation_request r;
  r.sequence_ids = std::move(ids);
  r.prompt = std::move(prompt);
  r.max_new_tokens = max_new_tokens;
  r.sampling.temperature = 0.9F;
  r.sampling.top_k = 50;
  r.seed = 5;
  return r;
}

inline std::vector<uint32_t> bits(const std::vector<float>& values) {
  std::vector<uint32_t> all;
  for (const float x : values) {
    all.push_back(std::bit_cast<uint32_t>(x));
  }
  return all;
}

/// To the last bit.
inline void expect_equal(const std::vector<engine::generated_sequence>& got,
                         const std::vector<engine::generated_sequence>& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].sequence_id, expected[i].sequence_id);
    EXPECT_EQ(got[i].ids, expected[i].ids) << "sequence " << got[i].sequence_id;
    EXPECT_EQ(bits(got[i].logprobs), bits(expected[i].logprobs)) << "sequence " << got[i].sequence_id;
    EXPECT_EQ(got[i].finish, expected[i].finish);
  }
}

}  // namespace troupe::test
