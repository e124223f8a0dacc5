#include "actors/models/model_files.hpp"

#include "base/error.hpp"
#include "engine/arena/card_arena.hpp"
#include "engine/models/tensor_names.hpp"
#include "engine/models/weights.hpp"
#include "io/json/json_keys.hpp"
#include "io/weights/array_types.hpp"
#include "io/weights/model_config.hpp"
#include "io/weights/model_folder.hpp"

#include <spdlog/spdlog.h>

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

/// Whether the files have a scalar head, by either of its names.
bool has_scalar_head(const std::vector<std::string>& tensor_names) {
  return std::any_of(tensor_names.begin(), tensor_names.end(),
                     [](const std::string& name) { return name == "score.weight" || name == value_head; });
}

/// What the engine finds amiss, which knows of no folder, with the folder's name.
template <class Call> auto naming(const std::filesystem::path& folder, const Call& call) {
  try {
    return call();
  } catch (const error& failure) {
    throw error(failure.code(), "{}: {}", folder.string(), failure.what());
  }
}

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

/// Zeros: a whole arena, or (with a group) this rank's parts of one.
engine::rank_weights zeros(const engine::inference_model& net, dtype type, const engine::communicator_ptr& group,
                           const engine::arena_place& at = {}) {
  if (!group) {
    return engine::rank_weights(net.layout().arena_size(), type, at);
  }
  const auto plan = std::make_shared<engine::shard_plan>(net.layout(), net.segments(), group->size());
  return {plan, group, type, at};
}

blank make_blank(const io::model_folder& source, head_kind head, const model_loading& how) {
  engine::model_description description = naming(source.path(), [&] { return engine::describe(source.config()); });
  const auto names = source.tensor_names();
  if (const std::string problem = head_problem(description, names, head); !problem.empty()) {
    throw error(errc::bad_argument, "{}: {}", source.path().string(), problem);
  }
  const bool stored_head = has_scalar_head(names);
  const bool scalar_stored = description.scalar_head || stored_head;
  description.scalar_head =
      head == head_kind::scalar || head == head_kind::stored_scalar || (head == head_kind::as_stored && scalar_stored);

  const auto place_of = [&how](const char* what) {
    return engine::arena_place{how.lies_on != nullptr ? how.lies_on->on : nullptr, how.name + what};
  };
  const dtype type = how.learns && how.on_card ? dtype::f32 : how.type;
  auto shape = std::make_shared<model>(
      description, [&](const engine::transformer& net) { return zeros(net, type, how.group, place_of(" weights")); });
  shape->config_json = source.config_json();
  shape->generation_config_json = read_if_there(source.path() / "generation_config.json");
  shape->folder = source.path();
  if (how.on_card) {
    shape->on_card = std::make_unique<engine::card_weights>(shape->net, how.type, how.name + " weights",
                                                            how.streamed ? engine::weights_stay::in_host_memory
                                                                         : engine::weights_stay::on_card);
  }
  if (how.has_masters()) {
    shape->masters =
        std::make_unique<engine::rank_weights>(zeros(shape->net, dtype::f32, how.master_group, place_of(" masters")));
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
                                   [&p](const engine::parameter_rows& own) { return own.of->offset == p.offset; });
    return mine == rows.end() ? engine::chosen_rows{}
                              : engine::chosen_rows{mine->first_row, mine->last_row, mine->arena_offset};
  };
}

/// `from`: in host memory, at least of the parts that a rank has of `to`, on a card.
void send_weights(context& ctx, const engine::inference_model& net, const engine::rank_weights& from,
                  engine::rank_weights& to, engine::staging& through) {
  if (to.sharded()) {
    engine::send_parts(ctx, *to.plan(), to.group()->rank(), from.data(), to.data(), engine::part_places::of_arena,
                       through, engine::part_places::of_arena);
  } else {
    engine::send_arena(ctx, net.layout(), from.data(), to.data(), through);
  }
}

/// Both of a model that has masters, each from the same values. Those on a card come from host memory that is divided
/// as the weights are.
template <class Fill> void fill_weights(model& m, const model_loading& how, const Fill& fill) {
  if (how.lies_on != nullptr) {
    engine::rank_weights read = zeros(m.net, dtype::f32, how.group);
    fill(read);
    engine::staging through;
    send_weights(*how.lies_on, m.net, read, m.weights, through);
    if (m.masters) {
      send_weights(*how.lies_on, m.net, read, *m.masters, through);
    }
    return;
  }
  fill(m.weights);
  if (m.masters) {
    fill(*m.masters);
  }
}

/// Files in another type lose what the weights' own cannot hold.
void tell_of_rounding(const io::model_folder& source, dtype type) {
  for (const std::string& name : source.tensor_names()) {
    const std::optional<host_array> found = source.finder()(name);
    const bool real = found && (found->type == dtype::f32 || found->type == dtype::f16 || found->type == dtype::f64);
    if (real && found->type != type) {
      spdlog::info("{}: weights of type {} are rounded to {} as they are read", source.path().string(),
                   to_string(found->type), to_string(type));
      return;
    }
  }
}

}  // namespace

/// `eos_token_id` of a config is an integer or a list of them.
static void add_end_ids(const std::string& json, const std::string& where, std::vector<int32_t>& ids) {
  if (json.empty()) {
    return;
  }
  const key_map keys = io::parse_json_keys(json, where);
  const auto found = keys.find("eos_token_id");
  if (found == keys.end()) {
    return;
  }
  if (const auto* id = std::get_if<int64_t>(&found->second)) {
    ids.push_back(static_cast<int32_t>(*id));
  } else if (const auto* list = std::get_if<std::vector<int64_t>>(&found->second)) {
    ids.insert(ids.end(), list->begin(), list->end());
  }
}

std::vector<int32_t> named_end_ids(const model& m) {
  std::vector<int32_t> ids;
  add_end_ids(m.generation_config_json, "generation_config.json", ids);
  if (ids.empty()) {
    add_end_ids(m.config_json, "config.json", ids);
  }
  return ids;
}

engine::model_description shape_of(const std::filesystem::path& folder) {
  const key_map config = io::read_json_keys(folder / "config.json");
  return naming(folder, [&] { return engine::describe(config); });
}

std::string head_problem(const engine::model_description& shape, const std::vector<std::string>& tensor_names,
                         head_kind head) {
  if (head == head_kind::language_model && shape.scalar_head) {
    return "this model has a scalar head (a reward model or critic), and a language model is needed here: name one, as "
           "a run leaves it in models/sft or models/policy";
  }
  if (head == head_kind::stored_scalar && !has_scalar_head(tensor_names)) {
    return fmt::format("this model has no scalar head (neither score.weight nor {}), so it cannot judge: name a "
                       "trained reward model, or let a reward phase train one from this",
                       value_head);
  }
  return "";
}

bool has_both_heads(const std::filesystem::path& folder) {
  const io::model_folder source = io::model_folder::open(folder);
  const engine::model_description description = naming(folder, [&] { return engine::describe(source.config()); });
  const auto names = source.tensor_names();
  const auto stored = [&](const char* name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  const bool language_head = description.tied_head || stored("lm_head.weight") || stored("embed_out.weight");
  return !description.scalar_head && language_head && stored(value_head);
}

model_ptr load_model(const std::filesystem::path& folder, head_kind head, const model_loading& how) {
  const io::model_folder source = io::model_folder::open(folder);
  const blank made = make_blank(source, head, how);
  naming(folder, [&] {
    fill_weights(*made.shape, how, [&](engine::rank_weights& weights) {
      engine::load_weights(made.shape->net, names_for(made.shape->net.description(), source), source.finder(),
                           weights.data(), made.new_head, own_rows(weights));
    });
  });
  if (how.type != dtype::f32 && !how.learns && how.tells) {
    tell_of_rounding(source, how.type);
  }
  return made.shape;
}

model_ptr random_model(const std::filesystem::path& folder, head_kind head, uint64_t seed, const model_loading& how) {
  const io::model_folder source = io::model_folder::open_shape(folder);
  const blank made = make_blank(source, head, how);
  constexpr double standard_deviation = 0.02;  // GPT-2's and OPT's own
  fill_weights(*made.shape, how, [&](engine::rank_weights& weights) {
    engine::initialise_weights(made.shape->net, seed, standard_deviation, weights.data(),
                               [&weights] { weights.drop_others(); });
  });
  return made.shape;
}

model_ptr empty_model(const std::filesystem::path& folder, head_kind head) {
  return make_blank(io::model_folder::open_shape(folder), head, {}).shape;
}

/// The template that a tokenizer_config.json names would be another's word for it: older versions of transformers read
/// that one alone.
static std::map<std::string, std::string> template_files(const model& shape, const std::string& chat_template) {
  if (chat_template.empty()) {
    return {};
  }
  std::map<std::string, std::string> files = {{"chat_template.jinja", chat_template}};
  const std::string config = read_if_there(shape.folder / "tokenizer_config.json");
  if (!config.empty()) {
    files["tokenizer_config.json"] = io::templated_tokenizer_config(config, chat_template);
  }
  return files;
}

/// generation_config.json, with further tokens that end an answer.
static std::string ending_config(const model& shape, const std::vector<int32_t>& turn_ends) {
  std::vector<int32_t> ids = named_end_ids(shape);
  const size_t named = ids.size();
  for (const int32_t end : turn_ends) {
    if (std::find(ids.begin(), ids.end(), end) == ids.end()) {
      ids.push_back(end);
    }
  }
  return ids.size() == named ? shape.generation_config_json
                             : io::ending_generation_config(shape.generation_config_json, ids);
}

void save_model(const model& shape, const_reals weights, const std::filesystem::path& target, const model_saving& how) {
  constexpr int64_t keep_pad_token = -1;
  const bool pad_known = io::parse_json_keys(shape.config_json, "config.json").contains("pad_token_id");
  const bool scalar = shape.net.description().scalar_head;
  const engine::saved_classes& classes = shape.net.description().family->saved_as;
  const io::tensor_producer producer = [&](const std::function<void(host_array)>& sink) {
    engine::save_weights(shape.net, weights, sink, how.enter);
  };
  std::vector<io::tensor_shape> tensors;
  for (engine::file_tensor& tensor : engine::file_tensors(shape.net)) {
    tensors.push_back({std::move(tensor.name), how.type, std::move(tensor.shape)});
  }
  const std::string config = scalar ? io::scalar_head_config(shape.config_json, classes.scalar_head,
                                                             pad_known ? keep_pad_token : how.pad_token)
                                    : io::language_model_config(shape.config_json, classes.language_model);
  io::write_model_folder(target,
                         {.config_json = io::typed_config(config, io::torch_type_name(how.type)),
                          .generation_config_json = scalar ? "" : ending_config(shape, how.turn_ends),
                          .tensors = std::move(tensors),
                          .producer = producer,
                          .tokenizer_source = shape.folder,
                          .further_files = template_files(shape, how.chat_template)},
                         how.fence);
}

}  // namespace troupe::actors
