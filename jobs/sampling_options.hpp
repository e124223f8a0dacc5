/// The options by which `generate` and `chat` choose tokens.
#pragma once

#include "base/dtype.hpp"
#include "engine/generate/generator.hpp"
#include "io/job/job.hpp"

#include <boost/program_options.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

struct sampling_options {
  engine::sampling_settings sampling;
  int64_t max_new_tokens = 256;
  uint64_t seed = 1;
  std::vector<std::string> stop;
  int threads = 0;
  dtype type = dtype::f32;  ///< of the weights
  io::device_choice device = io::device_choice::automatic;
};

/// Adds --max-new-tokens, --temperature, --top-k, --top-p, --min-p, --repetition-penalty, --seed, --stop, --threads,
/// --dtype, --device.
void add_sampling_options(boost::program_options::options_description& options, sampling_options& target);

/// Errors  usage_error: a value that is out of range.
void check_sampling_options(const sampling_options& options);

/// Settings with enough pages for `sequences` sequences of so many prompt and new tokens at once, as far as the model's
/// positions go.
engine::generator_settings generator_for(const engine::model_description& model, int64_t sequences,
                                         int64_t prompt_tokens, int64_t new_tokens);

}  // namespace troupe
