/// The PPO reference values in DeepSpeed-Chat's layout (rows padded to T, index t speaks of token t
/// + 1), turned into packed answers. A pad right after an answer is an explicit answer token that
/// does not count: DeepSpeed-Chat's terminal reward stands there.
#pragma once

#include "support/fixture.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe::test {

struct ppo_fixture {
  ppo_fixture(const std::string& path, std::string prefix_of_inputs, std::string prefix_of_results);

  /// Of an array [rows, T - 1], at the answers.
  std::vector<float> answers(const std::string& name) const { return pick(name, index); }
  /// Of an array [rows, T - P], at the answers.
  std::vector<float> advantages(const std::string& name) const { return pick(name, advantage_index); }

  fixture file;
  std::string in, out;
  int64_t rows = 0, length = 0, first = 0;
  std::vector<int64_t> offset_B1, index, advantage_index;
  std::vector<uint8_t> counts;

private:
  std::vector<float> pick(const std::string& name, const std::vector<int64_t>& from) const;
};

}  // namespace troupe::test
