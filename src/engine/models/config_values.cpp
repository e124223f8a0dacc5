#include "engine/models/config_values.hpp"

#include "base/error.hpp"

#include <array>
#include <utility>

namespace troupe::engine {

bool has(const key_map& config, std::string_view name) { return config.find(name) != config.end(); }

int64_t require_extent(const key_map& config, std::string_view name) {
  const int64_t value = require_int(config, name);
  if (value <= 0 || value > largest_extent) {
    throw error(errc::bad_file, "config.json: {} = {} is not between 1 and {}", name, value, largest_extent);
  }
  return value;
}

int64_t require_extent_of(const key_map& config, std::string_view name, std::string_view other) {
  return require_extent(config, has(config, name) || !has(config, other) ? name : other);
}

void refuse_unless(bool supported, std::string_view key, std::string_view value, std::string_view remedy) {
  if (!supported) {
    throw error(errc::unsupported, "config.json: {} = {} is not supported: {}", key, value, remedy);
  }
}

void refuse_flag(const key_map& config, std::string_view key, bool supported) {
  refuse_unless(get_bool(config, key, supported) == supported, key, supported ? "false" : "true",
                supported ? "only true is" : "only false is");
}

kernels::activation activation_of(const key_map& config, std::string_view key, const std::string& fallback) {
  using kernels::activation;
  static constexpr std::array<std::pair<std::string_view, activation>, 7> known{{
      {"relu", activation::relu},
      {"gelu", activation::gelu_erf},
      {"gelu_new", activation::gelu_tanh},
      {"gelu_fast", activation::gelu_tanh},
      {"gelu_pytorch_tanh", activation::gelu_tanh},
      {"silu", activation::silu},
      {"swish", activation::silu},
  }};
  const std::string name = get_text(config, key, fallback);
  for (const auto& [text, kind] : known) {
    if (name == text) {
      return kind;
    }
  }
  throw error(errc::unsupported,
              "config.json: {} = \"{}\" is not supported: possible are relu, gelu, gelu_new, "
              "gelu_fast, gelu_pytorch_tanh, silu, swish",
              key, name);
}

std::string rope_key(const key_map& config, std::string_view leaf) {
  for (const std::string_view folder : {"rope_parameters.", "rope_scaling."}) {
    std::string name = fmt::format("{}{}", folder, leaf);
    if (has(config, name)) {
      return name;
    }
  }
  return std::string(leaf);
}

rotary_description rotary_of(const key_map& config, int64_t rotated, std::string_view theta_key) {
  rotary_description r;
  r.rotated = rotated;
  r.theta = get_double(config, has(config, theta_key) ? theta_key : rope_key(config, "rope_theta"), 10000.0);
  std::string type = get_text(config, rope_key(config, "rope_type"), "");
  if (type.empty()) {
    type = get_text(config, "rope_scaling.type", "default");
  }
  if (type == "default") {
    return r;
  }
  refuse_unless(type == "linear" || type == "llama3", "rope_scaling.rope_type", type,
                "possible are default, linear, llama3");
  r.scaling = type == "linear" ? rotary_scaling::linear : rotary_scaling::llama3;
  r.factor = get_double(config, rope_key(config, "factor"), 0.0);
  refuse_unless(r.factor > 0, "rope_scaling.factor", fmt::format("{}", r.factor), "a positive number is needed");
  if (r.scaling == rotary_scaling::llama3) {
    r.low_frequency_factor = get_double(config, rope_key(config, "low_freq_factor"), 1.0);
    r.high_frequency_factor = get_double(config, rope_key(config, "high_freq_factor"), 4.0);
    r.original_positions = require_int(config, rope_key(config, "original_max_position_embeddings"));
    refuse_unless(r.low_frequency_factor > 0 && r.high_frequency_factor > r.low_frequency_factor,
                  "rope_scaling.high_freq_factor", fmt::format("{}", r.high_frequency_factor),
                  "it must be above low_freq_factor, and that above 0");
    refuse_unless(r.original_positions > 0, "rope_scaling.original_max_position_embeddings",
                  fmt::format("{}", r.original_positions), "a positive number is needed");
  }
  return r;
}

int64_t divided_head_width(const model_description& d) {
  if (d.heads <= 0 || d.width % d.heads != 0) {
    throw error(errc::bad_file, "config.json: a width of {} does not divide into {} heads", d.width, d.heads);
  }
  return d.width / d.heads;
}

void refuse_active_window(const key_map& config, const model_description& d) {
  const int64_t window = get_int(config, "sliding_window", d.max_positions);
  refuse_unless(window >= d.max_positions, "sliding_window", fmt::format("{}", window),
                "attention here looks at all earlier positions; lower max_position_embeddings to "
                "the window's size or set sliding_window to null");
}

}  // namespace troupe::engine
