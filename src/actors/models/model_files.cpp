#include "actors/models/model_files.hpp"

#include "base/error.hpp"
#include "engine/models/tensor_names.hpp"
#include "engine/models/weights.hpp"
#include "io/json/json_keys.hpp"
#include "io/weights/model_folder.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <vector>

namespace troupe::actors {

namespace {

std::string read_if_there(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

constexpr const char* value_head = "v_head.weight";

/// The value head of another model that shares this trunk is no mistake in a language model's folder.
std::vector<std::string> names_for(const engine::model_description& description, const io::model_folder& source) {
  std::vector<std::string> names = source.tensor_names();
  if (!description.scalar_head) {
    std::erase(names, value_head);
  }
  return names;
}

/// The model without its weights, and whether its scalar head is a new one.
struct blank {
  model_ptr shape;
  bool new_head = false;
};

blank make_blank(const io::model_folder& source, head_kind head, engine::communicator_ptr group) {
  engine::model_description description = engine::describe(source.config());
  const auto names = source.tensor_names();
  const bool stored_head = std::any_of(
      names.begin(), names.end(), [](const std::string& name) { return name == "score.weight" || name == value_head; });
  const bool scalar_stored = description.scalar_head || stored_head;
  if (head == head_kind::language_model && description.scalar_head) {
    throw error(errc::bad_argument,
                "{}: this model has a scalar head (a reward model or critic); a language model is needed here",
                source.path().string());
  }
  if (head == head_kind::stored_scalar && !stored_head) {
    throw error(errc::bad_argument,
                "{}: this model has no scalar head (neither score.weight nor {}), so it cannot judge: name a trained "
                "reward model, or let a reward phase train one from this",
                source.path().string(), value_head);
  }
  description.scalar_head =
      head == head_kind::scalar || head == head_kind::stored_scalar || (head == head_kind::as_stored && scalar_stored);

  auto shape = std::make_shared<model>(description);
  shape->config_json = source.config_json();
  shape->generation_config_json = read_if_there(source.path() / "generation_config.json");
  shape->folder = source.path();
  if (group) {
    const auto plan = std::make_shared<engine::shard_plan>(shape->net.layout(), shape->net.segments(), group->size());
    shape->weights.shard(plan, std::move(group));
  }
  return {shape, description.scalar_head && !stored_head};
}

/// What a rank keeps of each parameter; empty: everything.
engine::row_choice own_rows(const engine::rank_weights& weights) {
  if (!weights.sharded()) {
    return {};
  }
  return [rows = weights.plan()->rows(weights.group()->rank())](const engine::parameter& p) {
    const auto mine = std::find_if(rows.begin(), rows.end(),
                                   [&p](const engine::parameter_rows& one) { return one.of->offset == p.offset; });
    return mine == rows.end() ? engine::chosen_rows{}
                              : engine::chosen_rows{mine->first_row, mine->last_row, mine->arena_offset};
  };
}

}  // namespace

bool has_both_heads(const std::filesystem::path& folder) {
  const io::model_folder source = io::model_folder::open(folder);
  const engine::model_description description = engine::describe(source.config());
  const auto names = source.tensor_names();
  const auto stored = [&](const char* name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  const bool language_head = description.tied_head || stored("lm_head.weight") || stored("embed_out.weight");
  return !description.scalar_head && language_head && stored(value_head);
}

model_ptr load_model(const std::filesystem::path& folder, head_kind head, engine::communicator_ptr group) {
  const io::model_folder source = io::model_folder::open(folder);
  try {
    const blank made = make_blank(source, head, std::move(group));
    engine::load_weights(made.shape->net, names_for(made.shape->net.description(), source), source.finder(),
                         made.shape->weights.data(), made.new_head, own_rows(made.shape->weights));
    return made.shape;
  } catch (const error& failure) {
    throw error(failure.code(), "{}: {}", folder.string(), failure.what());
  }
}

model_ptr random_model(const std::filesystem::path& folder, head_kind head, uint64_t seed,
                       engine::communicator_ptr group) {
  const io::model_folder source = io::model_folder::open_shape(folder);
  const blank made = make_blank(source, head, std::move(group));
  engine::rank_weights& weights = made.shape->weights;
  constexpr double standard_deviation = 0.02;  // GPT-2's and OPT's own
  engine::initialise_weights(made.shape->net, seed, standard_deviation, weights.data(),
                             [&weights] { weights.drop_others(); });
  return made.shape;
}

model_ptr empty_model(const std::filesystem::path& folder, head_kind head) {
  return make_blank(io::model_folder::open_shape(folder), head, nullptr).shape;
}

void save_model(const model& shape, const float* weights, const std::filesystem::path& target, int64_t pad_token,
                const std::function<void()>& enter, const io::attempt_fence* fence) {
  constexpr int64_t keep_pad_token = -1;
  const bool pad_known = io::parse_json_keys(shape.config_json, "config.json").contains("pad_token_id");
  const bool scalar = shape.net.description().scalar_head;
  const engine::saved_classes& classes = shape.net.description().family->saved_as;
  const io::tensor_producer producer = [&](const std::function<void(host_array)>& sink) {
    engine::save_weights(shape.net, weights, sink, enter);
  };
  std::vector<io::tensor_shape> tensors;
  for (engine::file_tensor& tensor : engine::file_tensors(shape.net)) {
    tensors.push_back({std::move(tensor.name), dtype::f32, std::move(tensor.shape)});
  }
  io::write_model_folder(target,
                         {.config_json = scalar ? io::scalar_head_config(shape.config_json, classes.scalar_head,
                                                                         pad_known ? keep_pad_token : pad_token)
                                                : io::language_model_config(shape.config_json, classes.language_model),
                          .generation_config_json = scalar ? "" : shape.generation_config_json,
                          .tensors = std::move(tensors),
                          .producer = producer,
                          .tokenizer_source = shape.folder},
                         fence);
}

}  // namespace troupe::actors
