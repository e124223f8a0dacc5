#include "support/ppo_fixture.hpp"

#include <algorithm>

namespace troupe::test {

ppo_fixture::ppo_fixture(const std::string& path, std::string prefix_of_inputs, std::string prefix_of_results)
    : file(path), in(std::move(prefix_of_inputs)), out(std::move(prefix_of_results)) {
  const auto shape = file.shape(in + "input_ids");
  rows = shape[0];
  length = shape[1];
  first = file.integer(in + "prompt_len") - 1;
  const auto mask = file.integers(in + "attention_mask");
  offset_B1.push_back(0);
  for (int64_t b = 0; b < rows; ++b) {
    int64_t answered = 0;
    for (int64_t t = first; t + 1 < length; ++t) {
      answered += mask[static_cast<size_t>(b * length + t + 1)];
    }
    const int64_t end = std::min(first + answered + 1, length - 1);
    for (int64_t t = first; t < end; ++t) {
      index.push_back(b * (length - 1) + t);
      advantage_index.push_back(b * (length - 1 - first) + t - first);
      counts.push_back(static_cast<uint8_t>(mask[static_cast<size_t>(b * length + t + 1)]));
    }
    offset_B1.push_back(static_cast<int64_t>(index.size()));
  }
}

std::vector<float> ppo_fixture::pick(const std::string& name, const std::vector<int64_t>& from) const {
  const auto all = file.floats(name);
  std::vector<float> picked;
  for (const int64_t i : from) {
    picked.push_back(all.at(static_cast<size_t>(i)));
  }
  return picked;
}

}  // namespace troupe::test
