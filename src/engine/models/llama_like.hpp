/// Llama's shape, which many families share: rotary positions, RMS norms, a gated feed-forward, grouped key/value
/// heads.
#pragma once

#include "engine/models/family.hpp"

namespace troupe::engine {

/// Without biases: a family that has some sets them afterwards.
model_description describe_llama_like(const key_map& config);

/// The names that `transformers` gives the tensors.
tensor_naming llama_like_tensors();

}  // namespace troupe::engine
