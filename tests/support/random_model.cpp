#include "support/random_model.hpp"

#include "base/random.hpp"
#include "engine/models/family.hpp"
#include "engine/models/weights.hpp"

namespace troupe::test {

random_model make_random_model(const engine::model_description& description, uint64_t seed, double deviation) {
  engine::transformer net(description);
  aligned_buffer<float> weights(net.layout().arena_size());
  engine::initialise_weights(net, seed, deviation, weights.data());
  // Norms and biases are moved off their starting values, so that a mistake in them shows.
  const auto all = net.layout().all();
  for (size_t i = 0; i < all.size(); ++i) {
    const random_key key{.seed = seed, .stream = i};
    for (int64_t e = 0; !all[i].is_matrix() && e < all[i].size; ++e) {
      weights[all[i].offset + e] += static_cast<float>(0.3 * random_normal(key, static_cast<uint64_t>(e)));
    }
  }
  return {.net = std::move(net), .weights = std::move(weights)};
}

std::vector<model_variant> model_variants() {
  std::vector<model_variant> all;
  for (const engine::model_family* family : engine::all_families()) {
    all.push_back({std::string(family->type), std::string(family->type)});
  }
  all.push_back(
      {"opt_projected_norms_behind", "opt", {{"word_embed_proj_dim", int64_t{16}}, {"do_layer_norm_before", false}}});
  all.push_back({"gpt_neox_sequential", "gpt_neox", {{"use_parallel_residual", false}}});
  all.push_back({"llama_scaled_turns",
                 "llama",
                 {{"rope_scaling.rope_type", std::string("llama3")},
                  {"rope_scaling.factor", 8.0},
                  {"rope_scaling.low_freq_factor", 1.0},
                  {"rope_scaling.high_freq_factor", 4.0},
                  {"rope_scaling.original_max_position_embeddings", int64_t{32}},
                  {"tie_word_embeddings", true}}});
  return all;
}

engine::model_description describe_small(const model_variant& variant, const small_shape& shape) {
  const int64_t width = shape.heads * shape.head_width;
  key_map config{{"model_type", variant.family},
                 {"vocab_size", shape.vocabulary},
                 {"hidden_size", width},
                 {"num_hidden_layers", shape.layers},
                 {"num_attention_heads", shape.heads},
                 {"num_key_value_heads", shape.kv_heads},
                 {"head_dim", shape.head_width},
                 {"intermediate_size", shape.feed_forward},
                 {"max_position_embeddings", shape.positions},
                 // What GPT-2, BLOOM and OPT call them.
                 {"n_embd", width},
                 {"n_layer", shape.layers},
                 {"n_head", shape.heads},
                 {"n_inner", shape.feed_forward},
                 {"n_positions", shape.positions},
                 {"seq_length", shape.positions},
                 {"ffn_dim", shape.feed_forward}};
  for (const auto& [name, value] : variant.more) {
    config.insert_or_assign(name, value);
  }
  return engine::describe(config);
}

}  // namespace troupe::test
