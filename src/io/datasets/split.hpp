/// Which prompts belong to which phase: a function of the prompt's content, so that no prompt is in
/// two, whatever the order of files and records, the seed or the number of runs.
#pragma once

#include "io/datasets/record.hpp"

#include <unordered_map>

namespace troupe::io {

enum class data_use : uint8_t { sft, reward, ppo, held_out };
std::string_view to_string(data_use use);

/// Where the digest falls when [0, 1) is cut in proportion to the shares. The digest's bits are
/// mixed first.
/// Errors  bad_argument when all shares are 0.
data_use assign_use(uint64_t prompt_digest, const split_shares& shares);

/// Keeps sets with different shares from putting one prompt into two uses: the first that claims it
/// decides.
class prompt_registry {
public:
  data_use claim(uint64_t prompt_digest, const split_shares& shares);

private:
  std::unordered_map<uint64_t, data_use> uses_;
};

}  // namespace troupe::io
