#include "engine/models/description.hpp"

#include "base/error.hpp"

#include <array>
#include <string_view>
#include <utility>

namespace troupe::engine {

namespace {

bool has(const key_map& config, std::string_view name) { return config.find(name) != config.end(); }

/// Far above any model; see check_extents.
constexpr int64_t largest_extent = int64_t{1} << 22;

/// A size, checked before anything is computed from it.
int64_t require_extent(const key_map& config, std::string_view name) {
  const int64_t value = require_int(config, name);
  if (value <= 0 || value > largest_extent) {
    throw error(errc::bad_file, "config.json: {} = {} is not between 1 and {}", name, value, largest_extent);
  }
  return value;
}

/// The first of two spellings of one key that is there (BLOOM files use both n_layer and
/// num_hidden_layers).
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

/// Rotary settings stand at the top level, under rope_scaling, or (since transformers 5) under
/// rope_parameters.
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

/// width / heads, checked.
int64_t divided_head_width(const model_description& d) {
  if (d.heads <= 0 || d.width % d.heads != 0) {
    throw error(errc::bad_file, "config.json: a width of {} does not divide into {} heads", d.width, d.heads);
  }
  return d.width / d.heads;
}

model_description describe_opt(const key_map& config) {
  model_description d;
  d.family = family::opt;
  d.width = require_extent(config, "hidden_size");
  d.layers = require_extent(config, "num_hidden_layers");
  d.heads = require_extent(config, "num_attention_heads");
  d.kv_heads = d.heads;
  d.head_width = divided_head_width(d);
  d.feed_forward = require_extent(config, "ffn_dim");
  d.max_positions = require_extent(config, "max_position_embeddings");
  d.embedding_width = get_int(config, "word_embed_proj_dim", d.width);
  d.norm = norm_kind::layer;
  d.norm_first = get_bool(config, "do_layer_norm_before", true);
  d.final_norm = d.norm_first && !get_bool(config, "_remove_final_layer_norm", false);
  d.position = position_kind::learned;
  d.position_offset = 2;
  d.activation = activation_of(config, "activation_function", "relu");
  d.gated = false;
  const bool bias = get_bool(config, "enable_bias", true);
  d.qkv_bias = d.attention_out_bias = d.feed_forward_bias = bias;
  d.tied_head = get_bool(config, "tie_word_embeddings", true);
  refuse_flag(config, "layer_norm_elementwise_affine", true);
  return d;
}

model_description describe_gpt2(const key_map& config) {
  model_description d;
  d.family = family::gpt2;
  d.width = require_extent(config, "n_embd");
  d.layers = require_extent(config, "n_layer");
  d.heads = require_extent(config, "n_head");
  d.kv_heads = d.heads;
  d.head_width = divided_head_width(d);
  d.feed_forward = get_int(config, "n_inner", 4 * d.width);
  d.max_positions = require_extent(config, "n_positions");
  d.embedding_width = d.width;
  d.norm = norm_kind::layer;
  d.norm_epsilon = static_cast<float>(get_double(config, "layer_norm_epsilon", 1e-5));
  d.position = position_kind::learned;
  d.activation = activation_of(config, "activation_function", "gelu_new");
  d.gated = false;
  d.qkv_bias = d.attention_out_bias = d.feed_forward_bias = true;
  d.tied_head = get_bool(config, "tie_word_embeddings", true);
  refuse_flag(config, "scale_attn_weights", true);
  refuse_flag(config, "scale_attn_by_inverse_layer_idx", false);
  refuse_flag(config, "add_cross_attention", false);
  return d;
}

model_description describe_gpt_neox(const key_map& config) {
  model_description d;
  d.family = family::gpt_neox;
  d.width = require_extent(config, "hidden_size");
  d.layers = require_extent(config, "num_hidden_layers");
  d.heads = require_extent(config, "num_attention_heads");
  d.kv_heads = d.heads;
  d.head_width = divided_head_width(d);
  d.feed_forward = require_extent(config, "intermediate_size");
  d.max_positions = require_extent(config, "max_position_embeddings");
  d.embedding_width = d.width;
  d.norm = norm_kind::layer;
  d.norm_epsilon = static_cast<float>(get_double(config, "layer_norm_eps", 1e-5));
  d.position = position_kind::rotary;
  const double share =
      get_double(config, has(config, "rotary_pct") ? "rotary_pct" : rope_key(config, "partial_rotary_factor"), 0.25);
  refuse_unless(share > 0 && share <= 1, "rotary_pct", fmt::format("{}", share), "it must be above 0 and at most 1");
  d.rotary = rotary_of(config, static_cast<int64_t>(static_cast<double>(d.head_width) * share), "rotary_emb_base");
  d.activation = activation_of(config, "hidden_act", "gelu");
  d.gated = false;
  d.parallel_residual = get_bool(config, "use_parallel_residual", true);
  d.qkv_bias = d.attention_out_bias = get_bool(config, "attention_bias", true);
  d.feed_forward_bias = true;
  d.tied_head = get_bool(config, "tie_word_embeddings", false);
  return d;
}

model_description describe_bloom(const key_map& config) {
  model_description d;
  d.family = family::bloom;
  d.width = require_extent_of(config, "hidden_size", "n_embed");
  d.layers = require_extent_of(config, "n_layer", "num_hidden_layers");
  d.heads = require_extent_of(config, "n_head", "num_attention_heads");
  d.kv_heads = d.heads;
  d.head_width = divided_head_width(d);
  d.feed_forward = 4 * d.width;
  d.max_positions = get_int(config, "seq_length", 2048);
  d.embedding_width = d.width;
  d.norm = norm_kind::layer;
  d.norm_epsilon = static_cast<float>(get_double(config, "layer_norm_epsilon", 1e-5));
  d.embedding_norm = true;
  d.position = position_kind::alibi;
  d.activation = kernels::activation::gelu_tanh;
  d.gated = false;
  d.qkv_bias = d.attention_out_bias = d.feed_forward_bias = true;
  d.tied_head = get_bool(config, "tie_word_embeddings", true);
  refuse_flag(config, "apply_residual_connection_post_layernorm", false);
  return d;
}

/// Llama, and what Qwen2 and Mistral share with it.
model_description describe_llama(const key_map& config, engine::family family) {
  model_description d;
  d.family = family;
  d.width = require_extent(config, "hidden_size");
  d.layers = require_extent(config, "num_hidden_layers");
  d.heads = require_extent(config, "num_attention_heads");
  d.kv_heads = get_int(config, "num_key_value_heads", d.heads);
  d.head_width = has(config, "head_dim") ? require_extent(config, "head_dim") : divided_head_width(d);
  d.feed_forward = require_extent(config, "intermediate_size");
  d.max_positions = require_extent(config, "max_position_embeddings");
  d.embedding_width = d.width;
  d.norm = norm_kind::rms;
  d.norm_epsilon = static_cast<float>(get_double(config, "rms_norm_eps", 1e-6));
  d.position = position_kind::rotary;
  const double share = get_double(config, rope_key(config, "partial_rotary_factor"), 1.0);
  refuse_unless(share == 1.0, "partial_rotary_factor", fmt::format("{}", share), "this family turns whole heads");
  d.rotary = rotary_of(config, d.head_width, "rope_theta");
  d.activation = activation_of(config, "hidden_act", "silu");
  d.gated = true;
  d.tied_head = get_bool(config, "tie_word_embeddings", false);
  if (family == family::llama) {
    d.qkv_bias = d.attention_out_bias = get_bool(config, "attention_bias", false);
    d.feed_forward_bias = get_bool(config, "mlp_bias", false);
  }
  return d;
}

/// A window that is at least as long as the longest sequence cuts nothing off.
void refuse_active_window(const key_map& config, const model_description& d) {
  const int64_t window = get_int(config, "sliding_window", d.max_positions);
  refuse_unless(window >= d.max_positions, "sliding_window", fmt::format("{}", window),
                "attention here looks at all earlier positions; lower max_position_embeddings to "
                "the window's size or set sliding_window to null");
}

model_description describe_qwen2(const key_map& config) {
  model_description d = describe_llama(config, family::qwen2);
  d.qkv_bias = true;
  if (get_bool(config, "use_sliding_window", false) && get_int(config, "max_window_layers", 28) < d.layers) {
    refuse_active_window(config, d);
  }
  return d;
}

model_description describe_mistral(const key_map& config) {
  model_description d = describe_llama(config, family::mistral);
  refuse_active_window(config, d);
  return d;
}

model_description describe_family(const key_map& config) {
  const std::string type = require_text(config, "model_type");
  if (type == "opt") {
    return describe_opt(config);
  }
  if (type == "gpt2") {
    return describe_gpt2(config);
  }
  if (type == "gpt_neox") {
    return describe_gpt_neox(config);
  }
  if (type == "bloom") {
    return describe_bloom(config);
  }
  if (type == "llama") {
    return describe_llama(config, family::llama);
  }
  if (type == "qwen2") {
    return describe_qwen2(config);
  }
  if (type == "mistral") {
    return describe_mistral(config);
  }
  throw error(errc::unsupported,
              "config.json: model_type = \"{}\" is not supported: possible are opt, gpt2, "
              "gpt_neox, bloom, llama, qwen2, mistral",
              type);
}

/// Extents that the rest of the engine relies on. The upper limits are far above any model and keep
/// the sizes of all matrices, and their sum over the layers, inside 63 bits.
void check_extents(const model_description& d) {
  constexpr int64_t most_layers = int64_t{1} << 14;
  const std::array<std::pair<const char*, int64_t>, 9> extents{{
      {"vocabulary", d.vocabulary},
      {"width", d.width},
      {"layer count", d.layers},
      {"head count", d.heads},
      {"key/value head count", d.kv_heads},
      {"head width", d.head_width},
      {"feed-forward width", d.feed_forward},
      {"position count", d.max_positions},
      {"embedding width", d.embedding_width},
  }};
  for (const auto& [what, value] : extents) {
    if (value <= 0 || value > largest_extent) {
      throw error(errc::bad_file, "config.json: a {} of {} is not between 1 and {}", what, value, largest_extent);
    }
  }
  if (d.heads * d.head_width > largest_extent) {
    throw error(errc::bad_file, "config.json: {} heads of width {} are wider than {}", d.heads, d.head_width,
                largest_extent);
  }
  if (d.layers > most_layers) {
    throw error(errc::bad_file, "config.json: {} layers are more than {}", d.layers, most_layers);
  }
  if (d.heads % d.kv_heads != 0) {
    throw error(errc::bad_file, "config.json: {} heads do not divide among {} key/value heads", d.heads, d.kv_heads);
  }
  if (d.position == position_kind::rotary &&
      (d.rotary.rotated <= 0 || d.rotary.rotated % 2 != 0 || d.rotary.rotated > d.head_width)) {
    throw error(errc::bad_file, "config.json: {} rotary dimensions of a head of {} are not an even number above 0",
                d.rotary.rotated, d.head_width);
  }
  if (d.position == position_kind::rotary && !(d.rotary.theta > 0)) {
    throw error(errc::bad_file, "config.json: rope_theta = {} is not positive", d.rotary.theta);
  }
  if (!(d.norm_epsilon > 0)) {
    throw error(errc::bad_file, "config.json: a norm epsilon of {} is not positive", d.norm_epsilon);
  }
}

bool is_sequence_classification(const key_map& config) {
  for (const std::string_view key : {"architectures.0", "architectures"}) {
    if (const auto found = config.find(key); found != config.end()) {
      const auto* text = std::get_if<std::string>(&found->second);
      if (text != nullptr && text->ends_with("ForSequenceClassification")) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace

model_description describe(const key_map& config) {
  model_description d = describe_family(config);
  d.vocabulary = require_extent(config, "vocab_size");
  d.scalar_head = is_sequence_classification(config);
  if (d.scalar_head) {
    const int64_t labels = get_int(config, "num_labels", has(config, "id2label.1") ? 2 : 1);
    refuse_unless(labels == 1, "num_labels", fmt::format("{}", labels), "a scalar head has one label");
  }
  check_extents(d);
  return d;
}

}  // namespace troupe::engine
