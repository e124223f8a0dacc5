#include "engine/models/tensor_names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace troupe::engine {

namespace {

/// The part of a parameter that a module of the file holds.
enum class part { whole, transposed, by_head, query, key, value, gate, up };

/// A module of the file (with a weight and perhaps a bias) and the parameter that holds it.
struct module_name {
  const char* in_file;
  const char* logical;
  part which = part::whole;
};

struct family_names {
  const char* prefix;
  const char* block;  ///< what stands between the prefix and a block's number
  const char* head;
  std::vector<module_name> trunk;
  std::vector<module_name> in_block;
  std::vector<std::string_view> ignorable_endings;
};

const family_names& names_of_opt() {
  static const family_names names{.prefix = "model.",
                                  .block = "decoder.layers.",
                                  .head = "lm_head.weight",
                                  .trunk = {{"decoder.embed_tokens", "embedding.token"},
                                            {"decoder.embed_positions", "embedding.position"},
                                            {"decoder.project_in", "embedding.project_in"},
                                            {"decoder.project_out", "project_out"},
                                            {"decoder.final_layer_norm", "final_norm"}},
                                  .in_block = {{"self_attn_layer_norm", "attention_norm"},
                                               {"self_attn.q_proj", "attention.qkv", part::query},
                                               {"self_attn.k_proj", "attention.qkv", part::key},
                                               {"self_attn.v_proj", "attention.qkv", part::value},
                                               {"self_attn.out_proj", "attention.out"},
                                               {"final_layer_norm", "feed_forward_norm"},
                                               {"fc1", "feed_forward.up"},
                                               {"fc2", "feed_forward.down"}},
                                  .ignorable_endings = {}};
  return names;
}

const family_names& names_of_gpt2() {
  static const family_names names{
      .prefix = "transformer.",
      .block = "h.",
      .head = "lm_head.weight",
      .trunk = {{"wte", "embedding.token"}, {"wpe", "embedding.position"}, {"ln_f", "final_norm"}},
      .in_block = {{"ln_1", "attention_norm"},
                   {"attn.c_attn", "attention.qkv", part::transposed},
                   {"attn.c_proj", "attention.out", part::transposed},
                   {"ln_2", "feed_forward_norm"},
                   {"mlp.c_fc", "feed_forward.up", part::transposed},
                   {"mlp.c_proj", "feed_forward.down", part::transposed}},
      .ignorable_endings = {".attn.bias", ".attn.masked_bias"}};
  return names;
}

const family_names& names_of_gpt_neox() {
  static const family_names names{
      .prefix = "gpt_neox.",
      .block = "layers.",
      .head = "embed_out.weight",
      .trunk = {{"embed_in", "embedding.token"}, {"final_layer_norm", "final_norm"}},
      .in_block = {{"input_layernorm", "attention_norm"},
                   {"attention.query_key_value", "attention.qkv", part::by_head},
                   {"attention.dense", "attention.out"},
                   {"post_attention_layernorm", "feed_forward_norm"},
                   {"mlp.dense_h_to_4h", "feed_forward.up"},
                   {"mlp.dense_4h_to_h", "feed_forward.down"}},
      .ignorable_endings = {".attention.bias", ".attention.masked_bias", "rotary_emb.inv_freq"}};
  return names;
}

const family_names& names_of_bloom() {
  static const family_names names{.prefix = "transformer.",
                                  .block = "h.",
                                  .head = "lm_head.weight",
                                  .trunk = {{"word_embeddings", "embedding.token"},
                                            {"word_embeddings_layernorm", "embedding.norm"},
                                            {"ln_f", "final_norm"}},
                                  .in_block = {{"input_layernorm", "attention_norm"},
                                               {"self_attention.query_key_value", "attention.qkv", part::by_head},
                                               {"self_attention.dense", "attention.out"},
                                               {"post_attention_layernorm", "feed_forward_norm"},
                                               {"mlp.dense_h_to_4h", "feed_forward.up"},
                                               {"mlp.dense_4h_to_h", "feed_forward.down"}},
                                  .ignorable_endings = {}};
  return names;
}

const family_names& names_of_llama() {
  static const family_names names{.prefix = "model.",
                                  .block = "layers.",
                                  .head = "lm_head.weight",
                                  .trunk = {{"embed_tokens", "embedding.token"}, {"norm", "final_norm"}},
                                  .in_block = {{"input_layernorm", "attention_norm"},
                                               {"self_attn.q_proj", "attention.qkv", part::query},
                                               {"self_attn.k_proj", "attention.qkv", part::key},
                                               {"self_attn.v_proj", "attention.qkv", part::value},
                                               {"self_attn.o_proj", "attention.out"},
                                               {"post_attention_layernorm", "feed_forward_norm"},
                                               {"mlp.gate_proj", "feed_forward.gate_up", part::gate},
                                               {"mlp.up_proj", "feed_forward.gate_up", part::up},
                                               {"mlp.down_proj", "feed_forward.down"}},
                                  .ignorable_endings = {"rotary_emb.inv_freq"}};
  return names;
}

const family_names& names_of(family f) {
  switch (f) {
  case family::opt:
    return names_of_opt();
  case family::gpt2:
    return names_of_gpt2();
  case family::gpt_neox:
    return names_of_gpt_neox();
  case family::bloom:
    return names_of_bloom();
  case family::llama:
  case family::qwen2:
  case family::mistral:
    break;
  }
  return names_of_llama();
}

void choose_rows(file_tensor& tensor, part which, const model_description& d, int64_t all_rows) {
  const int64_t queries = d.heads * d.head_width;
  const int64_t keys = d.kv_heads * d.head_width;
  switch (which) {
  case part::whole:
  case part::transposed:
  case part::by_head:
    tensor.rows = all_rows;
    break;
  case part::query:
    tensor.rows = queries;
    break;
  case part::key:
    tensor.first_row = queries;
    tensor.rows = keys;
    break;
  case part::value:
    tensor.first_row = queries + keys;
    tensor.rows = keys;
    break;
  case part::gate:
    tensor.rows = d.feed_forward;
    break;
  case part::up:
    tensor.first_row = d.feed_forward;
    tensor.rows = d.feed_forward;
    break;
  }
}

file_tensor make_tensor(std::string name, const parameter& p, int64_t index, part which, const model_description& d) {
  file_tensor tensor{.name = std::move(name), .parameter = index};
  tensor.columns = p.is_matrix() ? p.shape[1] : 1;
  choose_rows(tensor, which, d, p.shape[0]);
  if (which == part::by_head) {
    tensor.order = row_order::by_head;
    tensor.heads = d.heads;
  }
  tensor.shape = {tensor.rows};
  if (p.is_matrix()) {
    tensor.shape.push_back(tensor.columns);
    if (which == part::transposed) {
      tensor.order = row_order::transposed;
      std::swap(tensor.shape[0], tensor.shape[1]);
    }
  }
  return tensor;
}

/// Collects tensors by walking the modules of the file; those that the model has no parameter for
/// are left out.
class tensor_list {
public:
  explicit tensor_list(const inference_model& net) : net_(net) {
    const auto all = net.layout().all();
    for (size_t i = 0; i < all.size(); ++i) {
      index_.emplace(all[i].name, static_cast<int64_t>(i));
    }
  }

  void add(const std::string& in_file, const std::string& logical, part which) {
    if (const auto found = index_.find(logical); found != index_.end()) {
      const parameter& p = net_.layout()[found->second];
      tensors_.push_back(make_tensor(in_file, p, found->second, which, net_.description()));
    }
  }

  void add_module(const std::string& file_prefix, const std::string& logical_prefix, const module_name& module) {
    for (const char* leaf : {".weight", ".bias"}) {
      add(file_prefix + module.in_file + leaf, logical_prefix + module.logical + leaf, module.which);
    }
  }

  std::vector<file_tensor> take() {
    std::stable_sort(tensors_.begin(), tensors_.end(),
                     [](const file_tensor& a, const file_tensor& b) { return a.parameter < b.parameter; });
    return std::move(tensors_);
  }

private:
  const inference_model& net_;
  std::map<std::string, int64_t, std::less<>> index_;
  std::vector<file_tensor> tensors_;
};

/// Row of the file that holds row `row` of the parameter's range.
int64_t row_in_file(const file_tensor& tensor, int64_t row) {
  if (tensor.order != row_order::by_head) {
    return row;
  }
  const int64_t third = tensor.rows / 3;
  const int64_t head_width = third / tensor.heads;
  const int64_t which = row / third;  // query, key, value
  const int64_t head = row % third / head_width;
  return (head * 3 + which) * head_width + row % head_width;
}

}  // namespace

std::vector<file_tensor> file_tensors(const inference_model& net) {
  const family_names& names = names_of(net.description().family);
  tensor_list list(net);
  for (const module_name& module : names.trunk) {
    list.add_module(names.prefix, "", module);
  }
  for (int64_t layer = 0; layer < net.description().layers; ++layer) {
    for (const module_name& module : names.in_block) {
      list.add_module(fmt::format("{}{}{}.", names.prefix, names.block, layer), fmt::format("layers.{}.", layer),
                      module);
    }
  }
  list.add(names.head, "head.weight", part::whole);
  list.add("score.weight", "score.weight", part::whole);
  return list.take();
}

std::string_view trunk_prefix(family f) { return names_of(f).prefix; }

std::string_view head_name(family f) { return names_of(f).head; }

bool is_ignorable_buffer(family f, std::string_view name) {
  const auto& endings = names_of(f).ignorable_endings;
  return std::any_of(endings.begin(), endings.end(), [&](std::string_view ending) { return name.ends_with(ending); });
}

void place_rows(const file_tensor& tensor, std::span<const float> file_values, std::span<float> parameter_values) {
  for (int64_t row = 0; row < tensor.rows; ++row) {
    float* to = parameter_values.data() + (tensor.first_row + row) * tensor.columns;
    if (tensor.order == row_order::transposed) {
      for (int64_t column = 0; column < tensor.columns; ++column) {
        to[column] = file_values[static_cast<size_t>(column * tensor.rows + row)];
      }
    } else {
      std::copy_n(file_values.data() + row_in_file(tensor, row) * tensor.columns, tensor.columns, to);
    }
  }
}

std::vector<float> extract_rows(const file_tensor& tensor, std::span<const float> parameter_values) {
  std::vector<float> file_values(static_cast<size_t>(tensor.rows * tensor.columns));
  for (int64_t row = 0; row < tensor.rows; ++row) {
    const float* from = parameter_values.data() + (tensor.first_row + row) * tensor.columns;
    if (tensor.order == row_order::transposed) {
      for (int64_t column = 0; column < tensor.columns; ++column) {
        file_values[static_cast<size_t>(column * tensor.rows + row)] = from[column];
      }
    } else {
      std::copy_n(from, tensor.columns, file_values.data() + row_in_file(tensor, row) * tensor.columns);
    }
  }
  return file_values;
}

}  // namespace troupe::engine
