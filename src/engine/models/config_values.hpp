/// How families read the values of a config.json (models/family.hpp). What is read is checked before anything is
/// computed from it.
/// Errors  of all: not_found, bad_file, unsupported: the key, the value and what is possible.
#pragma once

#include "base/keys.hpp"
#include "engine/models/description.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace troupe::engine {

/// Far above any model. With it the sizes of all matrices, and their sum over the layers, stay inside 63 bits.
inline constexpr int64_t largest_extent = int64_t{1} << 22;

bool has(const key_map& config, std::string_view name);

/// A size, from 1 to largest_extent.
int64_t require_extent(const key_map& config, std::string_view name);

/// The first of two spellings of one key that is there (BLOOM files use both n_layer and num_hidden_layers).
int64_t require_extent_of(const key_map& config, std::string_view name, std::string_view other);

void refuse_unless(bool supported, std::string_view key, std::string_view value, std::string_view remedy);

/// A flag of which the engine implements one value, which is also the default.
void refuse_flag(const key_map& config, std::string_view key, bool supported);

/// A sliding window that is shorter than the longest sequence; a longer one cuts nothing off.
void refuse_active_window(const key_map& config, const model_description& d);

kernels::activation activation_of(const key_map& config, std::string_view key, const std::string& fallback);

/// Rotary settings stand at the top level, under rope_scaling, or (since transformers 5) under rope_parameters: the
/// key by which this file has `leaf`.
std::string rope_key(const key_map& config, std::string_view leaf);
rotary_description rotary_of(const key_map& config, int64_t rotated, std::string_view theta_key);

/// width / heads.
int64_t divided_head_width(const model_description& d);

}  // namespace troupe::engine
