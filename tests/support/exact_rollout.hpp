/// Random rollouts, and whether the log-probability of each drawn token is the one that scoring gives, to the last bit.
#pragma once

#include "base/context.hpp"
#include "engine/generate/generator.hpp"
#include "engine/models/inference_model.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe::test {

/// The most of each, where a rollout is drawn; the least is 1 where nothing else is said.
struct rollout_limits {
  int64_t least_requests = 1, requests = 6;
  int64_t samples = 4;  ///< of a request
  int64_t prompt = 90, answer = 12;
  int64_t step_tokens = 64;
};

struct random_rollout {
  std::vector<engine::generation_request> requests;  ///< of one sample or several, with all that bends a distribution
  engine::generator_settings settings;               ///< pages for all or too few, chunks, steps ahead: by chance
};

/// A function of the seed.
random_rollout draw_rollout(const engine::model_description& model, const rollout_limits& limits, uint64_t seed);

struct exactness {
  int64_t sequences = 0, tokens = 0;  ///< drawn
  int64_t different = 0;              ///< tokens whose log-probability scoring says otherwise
  int64_t steps = 0;                  ///< model calls of generation
  int64_t passes = 0;                 ///< packed passes of scoring
  int64_t preemptions = 0;            ///< sequences that gave way, and were computed again
  int64_t shared = 0;                 ///< sequences that went on from another's prompt
  std::string first_difference = {};  ///< where it is; empty: there is none

  void add(const exactness& other);
};

/// Generates with `drawing`, then scores the answers with `scoring` (the same weights, if nothing is planted) in packed
/// passes of at most `pass_tokens` (or one sequence), put together by chance.
exactness measure_exactness(context& ctx, const engine::inference_model& net, const_reals drawing, const_reals scoring,
                            const random_rollout& rollout, int64_t pass_tokens, uint64_t seed);

}  // namespace troupe::test
