/// What a decoder-only Transformer is made of: one description drives one implementation for every family.
#pragma once

#include "base/keys.hpp"
#include "kernels/activation.hpp"

#include <cstdint>
#include <string>

namespace troupe::engine {

struct model_family;

enum class norm_kind { layer, rms };
enum class position_kind { learned, rotary, alibi };
enum class rotary_scaling { none, linear, llama3 };

struct rotary_description {
  int64_t rotated = 0;  ///< dimensions of each head that turn (partial rotary), even
  double theta = 10000.0;
  rotary_scaling scaling = rotary_scaling::none;
  double factor = 1.0, low_frequency_factor = 1.0, high_frequency_factor = 4.0;
  int64_t original_positions = 0;
};

struct model_description {
  const model_family* family = nullptr;  ///< null: a model that is not from files, nor goes to any
  int64_t vocabulary = 0, width = 0, layers = 0, heads = 0, kv_heads = 0, head_width = 0, feed_forward = 0;
  int64_t max_positions = 0;
  int64_t embedding_width = 0;  ///< OPT-350m: narrower than `width`, with projections in and out; else = width
  norm_kind norm = norm_kind::rms;
  float norm_epsilon = 1e-5F;
  bool norm_first = true;  ///< false: OPT-350m's post-norm
  bool final_norm = true;
  bool embedding_norm = false;  ///< BLOOM
  position_kind position = position_kind::rotary;
  int64_t position_offset = 0;  ///< OPT: row 0 of a sequence looks up position 2
  rotary_description rotary;
  kernels::activation activation = kernels::activation::silu;
  bool gated = true;
  bool parallel_residual = false;  ///< GPT-NeoX
  bool qkv_bias = false, attention_out_bias = false, feed_forward_bias = false;
  bool tied_head = false;
  bool scalar_head = false;  ///< a reward model or critic: score_n = w . hidden_n, no bias
};

/// From a flattened Hugging Face config.json, by its family (family.hpp). Every flag of the family is honoured, none
/// assumed; one that this engine does not implement (an active sliding window, another rope type, ...) is refused.
/// A `*ForSequenceClassification` architecture sets scalar_head.
/// Errors  not_found, bad_file, unsupported: each names the key, the value and what is possible.
model_description describe(const key_map& config);

}  // namespace troupe::engine
