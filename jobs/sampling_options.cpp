#include "jobs/sampling_options.hpp"

#include "jobs/arguments.hpp"
#include "jobs/compute_place.hpp"
#include "jobs/dtype_option.hpp"

#include <algorithm>

namespace troupe {

namespace po = boost::program_options;

void add_sampling_options(po::options_description& options, sampling_options& target) {
  engine::sampling_settings& s = target.sampling;
  options.add_options()("max-new-tokens", po::value(&target.max_new_tokens)->default_value(256),
                        "longest answer")("temperature", po::value(&s.temperature)->default_value(1.0F), "0: greedy")(
      "top-k", po::value(&s.top_k)->default_value(0), "sample from the k most likely tokens; 0: from all")(
      "top-p", po::value(&s.top_p)->default_value(1.0F), "sample from the most likely tokens that make up this share")(
      "min-p", po::value(&s.min_p)->default_value(0.0F), "leave out tokens below this share of the likeliest one's")(
      "repetition-penalty", po::value(&s.repetition_penalty)->default_value(1.0F),
      "1: off")("seed", po::value(&target.seed)->default_value(1), "of the random numbers")(
      "stop", po::value(&target.stop)->composing(), "a text that ends the answer; may be given again")(
      "threads", po::value(&target.threads)->default_value(0), "compute threads; 0: all cores");
  add_dtype_option(options, target.type);
  add_device_option(options, target.device);
}

void check_sampling_options(const sampling_options& options) {
  constexpr int64_t most_new_tokens = 1 << 20;
  if (options.max_new_tokens < 1 || options.max_new_tokens > most_new_tokens) {
    throw usage_error("--max-new-tokens is {}: it must lie between 1 and {}", options.max_new_tokens, most_new_tokens);
  }
  require_threads(options.threads);
  from_user([&] { kernels::check_sampling(options.sampling); });
  for (const std::string& stop : options.stop) {
    if (stop.empty()) {
      throw usage_error("--stop is empty: it would end every answer at once");
    }
  }
}

engine::generator_settings generator_for(const engine::model_description& model, int64_t sequences,
                                         int64_t prompt_tokens, int64_t new_tokens) {
  const int64_t positions = std::min(model.max_positions, prompt_tokens + new_tokens);
  // One page more each: the page that samples of one prompt share is copied when they part.
  return {.cache_pages = sequences * (engine::kv_cache::pages_for(positions) + 1), .step_tokens = 256};
}

}  // namespace troupe
