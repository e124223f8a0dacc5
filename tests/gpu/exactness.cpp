// What run.exact promises, of a large model: in batches of 1 to 256 sequences that share prompts, whose prompts come in
// chunks and which give way where pages are short, each token is drawn with the log-probability that scoring gives.
#include "engine/generate/kv_cache.hpp"
#include "support/exact_rollout.hpp"

#include <fmt/format.h>

#include "gpu/card_model.hpp"
#include <algorithm>

namespace troupe::gpu_check {

outcome exactness(subject& of) {
  card_model model(of.on_card, shape_of_1b(of), dtype::bf16);
  const engine::model_description& description = model.net().description();
  // Half of what is left: the rest is for passes.
  const int64_t most_pages =
      std::max<int64_t>(8, of.card.use().free / 2 / engine::kv_cache::page_bytes(description, dtype::bf16));
  test::exactness all;
  uint64_t seed = 1;
  std::string left_out;
  for (const int64_t requests :
       of.emulated ? std::vector<int64_t>{1, 4, 8, 12} : std::vector<int64_t>{1, 3, 16, 40, 128}) {
    if (!of.has_time()) {
      left_out += fmt::format("; {} requests left out: no time", requests);
      continue;
    }
    const test::rollout_limits limits{.least_requests = requests,
                                      .requests = requests,
                                      .samples = 4,
                                      .prompt = of.size(300, 70),
                                      .answer = of.size(48, 10),
                                      .step_tokens = of.size(2048, 40)};
    test::random_rollout rollout = test::draw_rollout(description, limits, seed);
    rollout.settings.cache_pages = std::min(rollout.settings.cache_pages, most_pages);
    all.add(test::measure_exactness(of.on_card, model.net(), model.weights(), model.weights(), rollout,
                                    of.size(4096, 100), seed));
    ++seed;
  }
  outcome found;
  found.good = all.different == 0 && all.tokens > 0;
  found.text = fmt::format("{} of {} drawn log-probs differ from scored ones ({} sequences, {} of them from another's "
                           "prompt; {} times one gave way; {} calls to draw, {} passes to score){}{}{}",
                           all.different, all.tokens, all.sequences, all.shared, all.preemptions, all.steps, all.passes,
                           all.different == 0 ? "" : ": ", all.first_difference, left_out);
  found.figures = {{"drawn", static_cast<double>(all.tokens)},
                   {"different", static_cast<double>(all.different)},
                   {"gave_way", static_cast<double>(all.preemptions)}};
  return found;
}

}  // namespace troupe::gpu_check
