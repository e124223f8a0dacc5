/// `troupe replay RUN --verify --json`.
#pragma once

#include "support/json_output.hpp"
#include "support/program.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <string>

namespace troupe::test {

inline words verification_of(const std::filesystem::path& run, const words& more = {}) {
  return words{"replay", run.string(), "--verify", "--json"} + more;
}

/// That it has come to the bytes of the run.
inline void expect_verified(const program_result& result, int64_t more_tensors_than = 0) {
  EXPECT_EQ(result.status, 0) << result.output;
  const nlohmann::json found = json_output(result.output);
  EXPECT_EQ(found.at("differ"), 0) << result.output;
  EXPECT_EQ(found.at("first_difference"), "");
  EXPECT_TRUE(found.at("numbers").empty()) << result.output;
  EXPECT_GT(found.at("tensors"), more_tensors_than);
  EXPECT_EQ(found.at("sha256_live"), found.at("sha256_replayed"));
  EXPECT_EQ(found.at("sha256_live").get<std::string>().size(), 64U);
}

}  // namespace troupe::test
