/// Llama's shape, which many families share: rotary positions, RMS norms, a gated feed-forward, grouped key/value
/// heads.
#pragma once

#include "engine/models/family.hpp"

namespace troupe::engine {

/// Without biases: a family that has some sets them afterwards.
model_description describe_llama_like(const key_map& config);

/// Qwen's windows hold from layer max_window_layers on, or where layer_types says so, if use_sliding_window is set at
/// all.
void limit_to_qwen_window(const key_map& config, model_description& d);

/// The names that `transformers` gives the tensors.
tensor_naming llama_like_tensors();

}  // namespace troupe::engine
