#include "io/weights/gguf_model.hpp"

#include "base/error.hpp"
#include "io/files/byte_reader.hpp"
#include "io/json/json.hpp"
#include "io/weights/gguf_tokenizer.hpp"

#include <cmath>
#include <cstring>
#include <functional>
#include <optional>

namespace troupe::io {
namespace {

using nlohmann::ordered_json;

/// The shortest decimal that is the same float: 9.999999747378752e-06 was 1e-05 in config.json.
double as_written(double value) { return std::stod(fmt::format("{}", static_cast<float>(value))); }

struct llama_sizes {
  std::string architecture;
  int64_t layers = 0, width = 0, feed_forward = 0, heads = 0, kv_heads = 0, head_width = 0, positions = 0;
  double theta = 0, norm_epsilon = 0;

  bool permuted() const { return architecture == "llama"; }
};

/// Reads `<architecture>.<name>` keys.
class sizes_reader {
public:
  explicit sizes_reader(const gguf_file& file) : file_(file) {}

  llama_sizes read() const {
    llama_sizes sizes;
    sizes.architecture = architecture();
    sizes.layers = positive("block_count");
    sizes.width = positive("embedding_length");
    sizes.feed_forward = positive("feed_forward_length");
    sizes.heads = positive("attention.head_count");
    sizes.kv_heads = file_.has(key("attention.head_count_kv")) ? positive("attention.head_count_kv") : sizes.heads;
    sizes.positions = positive("context_length");
    sizes.head_width =
        file_.has(key("attention.key_length")) ? positive("attention.key_length") : sizes.width / sizes.heads;
    sizes.theta = as_written(file_.get<double>(key("rope.freq_base"), 10000.0));
    sizes.norm_epsilon = as_written(file_.require<double>(key("attention.layer_norm_rms_epsilon")));
    check(sizes);
    return sizes;
  }

  /// rope_scaling of config.json as far as metadata decides it: null or linear.
  ordered_json rope_scaling() const {
    const std::string type = file_.get<std::string>(key("rope.scaling.type"), "none");
    if (type == "none") {
      return nullptr;
    }
    refuse_unless(type == "linear", "rope.scaling.type", type);
    return {{"rope_type", "linear"}, {"type", "linear"}, {"factor", file_.require<double>(key("rope.scaling.factor"))}};
  }

private:
  std::string architecture() const {
    std::string name = file_.require<std::string>("general.architecture");
    if (name != "llama" && name != "qwen2") {
      throw error(errc::unsupported, "{}: general.architecture is \"{}\": llama and qwen2 can be translated",
                  file_.where(), excerpt(name));
    }
    return name;
  }

  std::string key(const char* name) const { return architecture() + "." + name; }

  int64_t positive(const char* name) const {
    const auto value = file_.require<int64_t>(key(name));
    if (value <= 0 || value > (int64_t{1} << 31)) {
      throw error(errc::bad_file, "{}: {} is {}", file_.where(), key(name), value);
    }
    return value;
  }

  void refuse_unless(bool condition, const char* name, const std::string& value) const {
    if (!condition) {
      throw error(errc::unsupported, "{}: {} is {}, which is not supported", file_.where(), key(name), excerpt(value));
    }
  }

  void check(const llama_sizes& sizes) const {
    const auto experts = file_.get<int64_t>(key("expert_count"), 0);
    refuse_unless(experts == 0, "expert_count", std::to_string(experts));
    const auto rotated = file_.get<int64_t>(key("rope.dimension_count"), sizes.head_width);
    refuse_unless(rotated == sizes.head_width, "rope.dimension_count", std::to_string(rotated));
    const auto value_width = file_.get<int64_t>(key("attention.value_length"), sizes.head_width);
    refuse_unless(value_width == sizes.head_width, "attention.value_length", std::to_string(value_width));
    refuse_unless(sizes.head_width > 0 && sizes.head_width % 2 == 0, "attention.head_count",
                  std::to_string(sizes.heads));
  }

  const gguf_file& file_;
};

/// Hugging Face's name of a tensor, and how many heads its rows are permuted in (0: not at all).
struct translation {
  std::string name;
  int64_t permuted_heads = 0;
};

std::optional<translation> translate(const std::string& name, const llama_sizes& sizes) {
  const std::map<std::string, std::string, std::less<>> whole = {{"token_embd.weight", "model.embed_tokens.weight"},
                                                                 {"output_norm.weight", "model.norm.weight"},
                                                                 {"output.weight", "lm_head.weight"}};
  const std::map<std::string, std::string, std::less<>> parts = {
      {"attn_norm", "input_layernorm"}, {"ffn_norm", "post_attention_layernorm"},
      {"attn_q", "self_attn.q_proj"},   {"attn_k", "self_attn.k_proj"},
      {"attn_v", "self_attn.v_proj"},   {"attn_output", "self_attn.o_proj"},
      {"ffn_gate", "mlp.gate_proj"},    {"ffn_up", "mlp.up_proj"},
      {"ffn_down", "mlp.down_proj"}};
  if (const auto found = whole.find(name); found != whole.end()) {
    return translation{found->second};
  }
  // blk.<layer>.<part>.<weight or bias>
  const size_t layer_end = name.find('.', 4);
  const size_t part_end = name.rfind('.');
  if (!name.starts_with("blk.") || layer_end == std::string::npos || part_end <= layer_end) {
    return std::nullopt;
  }
  const std::string layer = name.substr(4, layer_end - 4);
  const std::string part = name.substr(layer_end + 1, part_end - layer_end - 1);
  const std::string suffix = name.substr(part_end);
  const auto found = parts.find(part);
  const bool is_layer = !layer.empty() && layer.size() < 7 &&
                        layer.find_first_not_of("0123456789") == std::string::npos && std::stoll(layer) < sizes.layers;
  if (found == parts.end() || !is_layer || (suffix != ".weight" && suffix != ".bias")) {
    return std::nullopt;
  }
  translation result{"model.layers." + layer + "." + found->second + suffix};
  if (sizes.permuted() && (part == "attn_q" || part == "attn_k")) {
    result.permuted_heads = part == "attn_q" ? sizes.heads : sizes.kv_heads;
  }
  return result;
}

/// Rows (h, i, s) become (h, s, i): see the header.
host_array unpermute(const host_array& array, int64_t heads) {
  const int64_t rows = array.shape.at(0);
  if (rows % (2 * heads) != 0) {
    throw error(errc::shape_mismatch, "tensor {} has {} rows, which {} heads do not divide", array.name, rows, heads);
  }
  const int64_t width = rows / heads;
  const size_t row_bytes = array.bytes.size() / static_cast<size_t>(rows);
  auto moved = std::make_shared<std::vector<std::byte>>(array.bytes.size());
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t head = row / width;
    const int64_t half = row % width / (width / 2);
    const int64_t index = row % (width / 2);
    const int64_t from = head * width + 2 * index + half;
    std::memcpy(moved->data() + static_cast<size_t>(row) * row_bytes,
                array.bytes.data() + static_cast<size_t>(from) * row_bytes, row_bytes);
  }
  host_array result = array;
  result.bytes = *moved;
  result.owner = moved;
  return result;
}

/// Llama 3's frequency factors of `factor`, as llama.cpp's converter computes them.
std::vector<double> llama3_factors(const llama_sizes& sizes, double factor) {
  constexpr double pi = 3.14159265358979323846;
  constexpr double low = 1, high = 4, original = 8192;
  std::vector<double> factors;
  for (int64_t i = 0; i < sizes.head_width; i += 2) {
    const double wavelength =
        2 * pi * std::pow(sizes.theta, static_cast<double>(i) / static_cast<double>(sizes.head_width));
    if (wavelength < original / high) {
      factors.push_back(1);
    } else if (wavelength > original / low) {
      factors.push_back(factor);
    } else {
      const double smooth = (original / wavelength - low) / (high - low);
      factors.push_back(1 / ((1 - smooth) / factor + smooth));
    }
  }
  return factors;
}

ordered_json llama3_scaling(const gguf_file& file, const llama_sizes& sizes) {
  const std::vector<float> stored = to_float32(*file.find("rope_freqs.weight"));
  const bool measured = static_cast<int64_t>(stored.size()) == sizes.head_width / 2;
  // Llama 3.1 and 3.2: all else in Llama 3's formula was never varied.
  for (const double factor : {8.0, 32.0}) {
    const std::vector<double> expected = measured ? llama3_factors(sizes, factor) : std::vector<double>();
    bool same = measured;
    for (size_t i = 0; same && i < stored.size(); ++i) {
      same = std::abs(static_cast<double>(stored[i]) - expected[i]) <= 1e-4 * expected[i];
    }
    if (same) {
      return {{"rope_type", "llama3"},
              {"factor", factor},
              {"low_freq_factor", 1.0},
              {"high_freq_factor", 4.0},
              {"original_max_position_embeddings", 8192}};
    }
  }
  throw error(errc::unsupported, "{}: rope_freqs.weight is not Llama 3's formula with a factor of 8 or 32",
              file.where());
}

void add_special_ids(const gguf_file& file, ordered_json& config) {
  for (const auto& [name, key] : {std::pair{"bos_token_id", "tokenizer.ggml.bos_token_id"},
                                  std::pair{"eos_token_id", "tokenizer.ggml.eos_token_id"},
                                  std::pair{"pad_token_id", "tokenizer.ggml.padding_token_id"}}) {
    if (file.has(key)) {
      config[name] = file.require<int64_t>(key);
    }
  }
}

std::string config_of(const gguf_file& file, const llama_sizes& sizes, int64_t vocabulary) {
  const bool llama = sizes.architecture == "llama";
  ordered_json config;
  config["architectures"] = {llama ? "LlamaForCausalLM" : "Qwen2ForCausalLM"};
  config["model_type"] = sizes.architecture;
  config["vocab_size"] = vocabulary;
  config["hidden_size"] = sizes.width;
  config["intermediate_size"] = sizes.feed_forward;
  config["num_hidden_layers"] = sizes.layers;
  config["num_attention_heads"] = sizes.heads;
  config["num_key_value_heads"] = sizes.kv_heads;
  config["head_dim"] = sizes.head_width;
  config["hidden_act"] = "silu";
  config["max_position_embeddings"] = sizes.positions;
  config["rms_norm_eps"] = sizes.norm_epsilon;
  config["rope_theta"] = sizes.theta;
  config["rope_scaling"] =
      file.find("rope_freqs.weight") ? llama3_scaling(file, sizes) : sizes_reader(file).rope_scaling();
  if (llama) {
    config["attention_bias"] = file.find("blk.0.attn_q.bias").has_value();
    config["mlp_bias"] = file.find("blk.0.ffn_up.bias").has_value();
  }
  config["attention_dropout"] = 0.0;
  config["initializer_range"] = 0.02;
  config["tie_word_embeddings"] = !file.find("output.weight").has_value();
  config["use_cache"] = true;
  add_special_ids(file, config);
  return config.dump(2) + "\n";
}

}  // namespace

imported_model import_gguf(const std::shared_ptr<const gguf_file>& file) {
  const llama_sizes sizes = sizes_reader(*file).read();
  struct source {
    std::string name;
    int64_t permuted_heads = 0;
  };
  auto sources = std::make_shared<std::map<std::string, source>>();
  imported_model model;
  int64_t vocabulary = 0;
  for (const std::string& name : file->names()) {
    if (name == "rope_freqs.weight") {
      continue;  // goes into config.json
    }
    const auto translated = translate(name, sizes);
    if (!translated) {
      throw error(errc::unsupported, "{}: tensor {} has no place in a {} model of {} layers", file->where(),
                  excerpt(name), sizes.architecture, sizes.layers);
    }
    const tensor_shape stored = file->shape_of(name);
    if (name == "token_embd.weight") {
      vocabulary = stored.shape[0];
    }
    sources->emplace(translated->name, source{name, translated->permuted_heads});
    model.tensors.push_back({translated->name, stored.type, stored.shape});
  }
  if (vocabulary == 0) {
    throw error(errc::not_found, "{}: tensor token_embd.weight is missing", file->where());
  }
  model.config_json = config_of(*file, sizes, vocabulary);
  ordered_json generation;
  generation["_from_model_config"] = true;
  add_special_ids(*file, generation);
  model.generation_config_json = generation.dump(2) + "\n";
  model.tokenizer_files = tokenizer_files_of(*file);
  model.find = [file, sources](const std::string& name) -> std::optional<host_array> {
    const auto found = sources->find(name);
    if (found == sources->end()) {
      return std::nullopt;
    }
    host_array array = *file->find(found->second.name);
    array.name = name;
    return found->second.permuted_heads == 0 ? array : unpermute(array, found->second.permuted_heads);
  };
  return model;
}

}  // namespace troupe::io
