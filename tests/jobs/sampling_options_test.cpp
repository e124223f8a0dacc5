// How `generate` and `chat` choose tokens: what the user may say, and what a call of so many sequences takes.
#include "jobs/arguments.hpp"
#include "jobs/sampling_options.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

TEST(SamplingOptions, AreReadFromTheCommandLine) {
  namespace po = boost::program_options;
  sampling_options options;
  po::options_description description;
  add_sampling_options(description, options);
  const char* words[] = {"generate", "--temperature", "0.5", "--top-k", "7", "--stop", "a", "--stop", "b"};
  po::variables_map values;
  po::store(po::parse_command_line(9, words, description), values);
  po::notify(values);
  EXPECT_EQ(options.sampling.temperature, 0.5F);
  EXPECT_EQ(options.sampling.top_k, 7);
  EXPECT_EQ(options.sampling.top_p, 1.0F);
  EXPECT_EQ(options.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(options.max_new_tokens, 256);
}

TEST(SamplingOptions, WhatCannotBeMeantIsRefused) {
  check_sampling_options({});
  EXPECT_THROW(check_sampling_options({.max_new_tokens = 0}), usage_error);
  EXPECT_THROW(check_sampling_options({.max_new_tokens = (1 << 20) + 1}), usage_error);
  EXPECT_THROW(check_sampling_options({.stop = {"a", ""}}), usage_error);
  EXPECT_THROW(check_sampling_options({.threads = -1}), usage_error);
}

TEST(GeneratorFor, EachSequenceHasItsPagesAndOneToPartWith) {
  engine::model_description model;
  model.max_positions = 1000;
  const int64_t pages = engine::kv_cache::pages_for(30);
  EXPECT_EQ(generator_for(model, 4, 10, 20).cache_pages, 4 * (pages + 1));
  model.max_positions = 16;
  EXPECT_EQ(generator_for(model, 4, 10, 20).cache_pages, 4 * (engine::kv_cache::pages_for(16) + 1));
}

}  // namespace
}  // namespace troupe
