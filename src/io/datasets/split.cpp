#include "io/datasets/split.hpp"

#include "base/error.hpp"

namespace troupe::io {

std::string_view to_string(data_use use) {
  switch (use) {
  case data_use::sft:
    return "sft";
  case data_use::reward:
    return "reward";
  case data_use::ppo:
    return "ppo";
  case data_use::held_out:
    return "held-out";
  }
  return "unknown";
}

/// Uniform in [0, 1): the digest's bits once more mixed, so that it may serve other purposes as it
/// is.
/// Source  the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
static double unit_of(uint64_t digest) {
  digest ^= digest >> 30;
  digest *= 0xBF58476D1CE4E5B9ULL;
  digest ^= digest >> 27;
  digest *= 0x94D049BB133111EBULL;
  digest ^= digest >> 31;
  return static_cast<double>(digest >> 11) * 0x1.0p-53;
}

data_use assign_use(uint64_t prompt_digest, const split_shares& shares) {
  const double sum = shares.sft + shares.reward + shares.ppo + shares.held_out;
  if (!shares.any()) {
    throw error(errc::bad_argument, "a data set has no share in any phase: give [split] shares above 0");
  }
  double at = unit_of(prompt_digest) * sum;
  data_use last = data_use::held_out;
  for (const auto& [use, share] : {std::pair{data_use::sft, shares.sft},
                                   {data_use::reward, shares.reward},
                                   {data_use::ppo, shares.ppo},
                                   {data_use::held_out, shares.held_out}}) {
    if (share > 0 && at < share) {
      return use;
    }
    at -= share;
    last = share > 0 ? use : last;
  }
  return last;  // the rounding of the sums left a hair's breadth at the end
}

data_use prompt_registry::claim(uint64_t prompt_digest, const split_shares& shares) {
  const auto found = uses_.find(prompt_digest);
  if (found != uses_.end()) {
    return found->second;
  }
  const data_use use = assign_use(prompt_digest, shares);
  uses_.emplace(prompt_digest, use);
  return use;
}

}  // namespace troupe::io
