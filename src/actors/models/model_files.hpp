/// Where io and engine meet: a model in memory, from a Hugging Face folder and back into one.
#pragma once

#include "base/context.hpp"
#include "base/host_array.hpp"
#include "engine/models/transformer.hpp"
#include "engine/optim/card_weights.hpp"
#include "engine/optim/rank_weights.hpp"
#include "io/files/attempt_fence.hpp"

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace troupe::actors {

/// A Transformer and its weights.
struct model {
  /// `make_weights`: what makes them for the net.
  model(const engine::model_description& description,
        const std::function<engine::rank_weights(const engine::transformer&)>& make_weights)
      : net(description), weights(make_weights(net)) {}
  /// `type`: of the weights, which are in host memory, all of them: f32 or bf16.
  explicit model(const engine::model_description& description, dtype type = dtype::f32)
      : net(description), weights(net.layout().arena_size(), type) {}

  /// What the optimizer steps, averages follow, and files and checkpoints hold.
  engine::rank_weights& learned() { return masters ? *masters : weights; }
  const engine::rank_weights& learned() const { return masters ? *masters : weights; }
  /// What a step is to write rounded; null where passes read what is stepped, or a card's copy of it.
  reals rounded() { return masters ? weights.data() : nullptr; }
  /// Of the weights that passes read.
  dtype type() const { return on_card ? on_card->type() : weights.type(); }
  /// For whoever has written the weights.
  void weights_changed() {
    if (on_card) {
      on_card->outdate();
    }
  }

  engine::transformer net;
  engine::rank_weights weights;                   ///< what passes read, or what is sent to where they do
  std::unique_ptr<engine::rank_weights> masters;  ///< in float32, where `weights` are these rounded; null: they learn
  std::unique_ptr<engine::card_weights> on_card;  ///< what passes read; null: they read `weights`
  std::string config_json;                        ///< of the folder it came from
  std::string generation_config_json;             ///< empty where there was none
  std::filesystem::path folder;                   ///< for its tokenizer files
};

using model_ptr = std::shared_ptr<model>;

/// Which head a model is loaded with.
enum class head_kind {
  as_stored,
  language_model,  ///< refused if the folder's architecture has a scalar head; a value head beside it is ignored
  scalar,          ///< a folder without a scalar head gets a new one of zeros, which is to learn
  stored_scalar,   ///< for a model that judges as it is: refused if the folder has no scalar head
};

/// The shape that a folder's config.json tells of.
/// Errors  those of io::read_json_keys and engine::describe, each naming the folder.
engine::model_description shape_of(const std::filesystem::path& folder);

/// Why a model of this shape, whose files have tensors of these names, cannot be loaded with such a head. Empty: it
/// can.
std::string head_problem(const engine::model_description& shape, const std::vector<std::string>& tensor_names,
                         head_kind head);

/// Whether a folder holds a language model and beside it a value head (v_head.safetensors). It can be loaded as either;
/// as_stored gives the scalar head.
/// Errors  those of io::model_folder and engine::describe.
bool has_both_heads(const std::filesystem::path& folder);

/// What of a model is in memory, and where.
struct model_loading {
  dtype type = dtype::f32;  ///< of the weights that passes read
  bool learns = false;      ///< where `type` is another than f32, there are float32 weights too
  bool on_card = false;     ///< passes read a copy on the rank's card, which is in `type`
  bool streamed = false;    ///< of that copy only the segments in use; not of a model that learns
  /// Computes on the card that weights and masters lie on; null: they lie in host memory.
  context* lies_on = nullptr;
  std::string name = "model";  ///< where a card's memory runs out: "policy" has "policy weights"
  /// Whether the weights that learn are others than those that passes read. A card's copy is rounded on its way there.
  bool has_masters() const { return learns && type != dtype::f32 && !on_card; }
  bool tells = true;  ///< the log of weights that are rounded for good, since nothing learns from what they were
  /// The ranks that share the weights (ZeRO stage 3), of which each keeps its shard only, also while it reads; null:
  /// this rank has all weights.
  engine::communicator_ptr group = nullptr;
  engine::communicator_ptr master_group = nullptr;  ///< the same of the masters, from stage 1 on
};

/// Errors  those of io::model_folder, engine::describe and engine::load_weights, each naming the folder.
model_ptr load_model(const std::filesystem::path& folder, head_kind head, const model_loading& how = {});

/// The shape of `folder` with random weights, a function of the seed.
model_ptr random_model(const std::filesystem::path& folder, head_kind head, uint64_t seed,
                       const model_loading& how = {});

/// The shape of `folder` with weights of zeros, to be filled from elsewhere.
model_ptr empty_model(const std::filesystem::path& folder, head_kind head);

/// Ids that end an answer by the model's generation_config.json, or, where that names none, its config.json, as the
/// file names them.
std::vector<int32_t> named_end_ids(const model& m);

/// How a model is saved.
struct model_saving {
  int64_t pad_token = 0;                     ///< of a scalar-head model whose config.json names none
  dtype type = dtype::f32;                   ///< as the weights are stored
  std::function<void()> enter = {};          ///< that of engine::save_weights
  const io::attempt_fence* fence = nullptr;  ///< that of io::write_model_folder
  std::string chat_template = {};            ///< in place of that of the model's folder; empty: that one stays
  std::vector<int32_t> turn_ends = {};       ///< tokens that end an answer, besides those that its files name
};

/// Writes `weights` (an arena of the model's layout) as a folder that `transformers` loads, tokenizer files included.
/// Errors  io_failure; those of the fence; bad_argument: a value that does not fit the type.
void save_model(const model& shape, const_reals weights, const std::filesystem::path& target, const model_saving& how);

}  // namespace troupe::actors
