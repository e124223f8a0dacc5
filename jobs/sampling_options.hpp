/// The options by which `generate` and `chat` choose tokens.
#pragma once

#include "engine/generate/generator.hpp"
#include "kernels/sampling.hpp"

#include <boost/program_options.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

struct sampling_options {
  kernels::sampling_settings sampling;
  int64_t max_new_tokens = 256;
  uint64_t seed = 1;
  std::vector<std::string> stop;
  int threads = 0;
};

/// Adds --max-new-tokens, --temperature, --top-k, --top-p, --min-p, --repetition-penalty, --seed, --stop, --threads.
void add_sampling_options(boost::program_options::options_description& options, sampling_options& target);

/// Pages for one call of `sequences` sequences of at most `positions` tokens.
engine::generator_settings generator_for(int64_t sequences, int64_t positions);

}  // namespace troupe
