/// Where io and engine meet: a model in memory, from a Hugging Face folder and back into one.
#pragma once

#include "base/host_array.hpp"
#include "engine/models/transformer.hpp"
#include "engine/optim/learner.hpp"
#include "engine/optim/rank_weights.hpp"
#include "io/files/attempt_fence.hpp"

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace troupe::actors {

/// A Transformer and its weights.
struct model {
  explicit model(const engine::model_description& description) : net(description), weights(net.layout().arena_size()) {}

  engine::transformer net;
  engine::rank_weights weights;
  std::string config_json;             ///< of the folder it came from
  std::string generation_config_json;  ///< empty where there was none
  std::filesystem::path folder;        ///< for its tokenizer files
};

using model_ptr = std::shared_ptr<model>;

/// Which head a model is loaded with.
enum class head_kind {
  as_stored,
  language_model,  ///< Errors where the folder's architecture has a scalar head; a value head beside it is left aside
  scalar,          ///< a folder without one gets a new head of zeros, which is to learn
  stored_scalar,   ///< for a model that judges as it is: errors where the folder has none
};

/// Whether a folder holds a language model and a value head (v_head.safetensors) beside it, so that it can be loaded
/// as either: as_stored then gives the scalar head.
/// Errors  those of io::model_folder and engine::describe.
bool has_both_heads(const std::filesystem::path& folder);

/// `group`: the ranks that share the weights (ZeRO stage 3): each keeps its shard, while reading too; null: all are here.
/// Errors  those of io::model_folder, engine::describe and engine::load_weights, each naming the folder.
model_ptr load_model(const std::filesystem::path& folder, head_kind head, engine::communicator_ptr group = nullptr);

/// The shape of `folder` with random weights, a function of the seed.
model_ptr random_model(const std::filesystem::path& folder, head_kind head, uint64_t seed,
                       engine::communicator_ptr group = nullptr);

/// The shape of `folder` with weights of zeros, for whoever has them from elsewhere.
model_ptr empty_model(const std::filesystem::path& folder, head_kind head);

/// Writes `weights` (an arena of the model's layout) as a folder that `transformers` loads, tokenizer files included.
/// `pad_token`: pad_token_id of a scalar-head model whose config.json names none. `enter`: that of engine::save_weights;
/// `fence`: that of io::write_model_folder; `type`: as the weights are stored.
/// Errors  io_failure, those of the fence.
void save_model(const model& shape, const float* weights, const std::filesystem::path& target, int64_t pad_token,
                const std::function<void()>& enter = {}, const io::attempt_fence* fence = nullptr,
                dtype type = dtype::f32);

/// A model that learns: its optimizer's arenas beside it.
struct trained_model {
  model_ptr of;
  std::unique_ptr<engine::learner> learner;
};

using trained_model_ptr = std::shared_ptr<trained_model>;

}  // namespace troupe::actors
