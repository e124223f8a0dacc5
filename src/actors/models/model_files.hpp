/// Where io and engine meet: a model in memory, from a Hugging Face folder and back into one.
#pragma once

#include "base/host_array.hpp"
#include "engine/models/transformer.hpp"
#include "engine/optim/rank_weights.hpp"
#include "io/files/attempt_fence.hpp"

#include <filesystem>
#include <functional>
#include <map>
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
  language_model,  ///< refused if the folder's architecture has a scalar head; a value head beside it is ignored
  scalar,          ///< a folder without a scalar head gets a new one of zeros, which is to learn
  stored_scalar,   ///< for a model that judges as it is: refused if the folder has no scalar head
};

/// Whether a folder holds a language model and beside it a value head (v_head.safetensors). It can be loaded as either;
/// as_stored gives the scalar head.
/// Errors  those of io::model_folder and engine::describe.
bool has_both_heads(const std::filesystem::path& folder);

/// `group`: the ranks that share the weights (ZeRO stage 3), of which each keeps its shard only, also while it reads;
/// null: this rank has all weights.
/// Errors  those of io::model_folder, engine::describe and engine::load_weights, each naming the folder.
model_ptr load_model(const std::filesystem::path& folder, head_kind head, engine::communicator_ptr group = nullptr);

/// The shape of `folder` with random weights, a function of the seed.
model_ptr random_model(const std::filesystem::path& folder, head_kind head, uint64_t seed,
                       engine::communicator_ptr group = nullptr);

/// The shape of `folder` with weights of zeros, to be filled from elsewhere.
model_ptr empty_model(const std::filesystem::path& folder, head_kind head);

/// How a model is saved.
struct model_saving {
  int64_t pad_token = 0;                             ///< of a scalar-head model whose config.json names none
  dtype type = dtype::f32;                           ///< as the weights are stored
  std::function<void()> enter = {};                  ///< that of engine::save_weights
  const io::attempt_fence* fence = nullptr;          ///< that of io::write_model_folder
  std::map<std::string, std::string> further_files;  ///< name to text, beside those of the model's folder
};

/// Writes `weights` (an arena of the model's layout) as a folder that `transformers` loads, tokenizer files included.
/// Errors  io_failure; those of the fence; bad_argument: a value that does not fit the type.
void save_model(const model& shape, const float* weights, const std::filesystem::path& target, const model_saving& how);

}  // namespace troupe::actors
