/// Small models of random weights, of any family, for tests that need no files.
#pragma once

#include "base/aligned.hpp"
#include "base/keys.hpp"
#include "engine/models/transformer.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe::test {

struct random_model {
  engine::transformer net;
  aligned_buffer<float> weights;
};

/// Of a random initialisation that is far from linear. `deviation`: of matrices, for rows some 32 wide.
random_model make_random_model(const engine::model_description& description, uint64_t seed, double deviation = 0.25);

struct small_shape {
  int64_t vocabulary = 96, layers = 2, heads = 4, head_width = 8, feed_forward = 40, positions = 256;
  int64_t kv_heads = 2;  ///< where the family groups heads
};

/// A way in which models differ, besides their shapes.
struct model_variant {
  std::string name;
  std::string family;
  key_map more = {};  ///< of config.json
};

/// Every family that there is, and what some of them have besides: embeddings that are projected and norms behind the
/// blocks, residuals one after the other, frequencies that are scaled.
std::vector<model_variant> model_variants();

/// As the family reads it from config.json; as wide as its heads are together.
engine::model_description describe_small(const model_variant& variant, const small_shape& shape);

}  // namespace troupe::test
