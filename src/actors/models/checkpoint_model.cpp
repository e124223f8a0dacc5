#include "actors/models/checkpoint_model.hpp"

#include "actors/models/special_tokens.hpp"
#include "base/error.hpp"
#include "io/checkpoint/checkpoint.hpp"
#include "io/run/run_directory.hpp"
#include "io/run/starting_folders.hpp"
#include "io/tokenizer/tokenizer.hpp"
#include "io/weights/model_target.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

namespace troupe::actors {

namespace {

namespace fs = std::filesystem;

/// Names of models, and where a checkpoint has their weights.
struct named_arrays {
  const char* name;
  const char* arrays;
  head_kind head;
};
constexpr std::array known_models = {named_arrays{"policy", "policy/weights/", head_kind::language_model},
                                     named_arrays{"reward", "reward/weights/", head_kind::scalar},
                                     named_arrays{"policy-ema", "policy/average/", head_kind::language_model},
                                     named_arrays{"critic", "critic/weights/", head_kind::scalar}};

bool holds(const std::vector<std::string>& sorted, std::string_view prefix) {
  const auto found = std::lower_bound(sorted.begin(), sorted.end(), prefix);
  return found != sorted.end() && found->starts_with(prefix);
}

std::vector<std::string> models_in(const io::checkpoint_reader& reader) {
  std::vector<std::string> names;
  const std::vector<std::string> arrays = reader.array_names();
  for (const named_arrays& known : known_models) {
    if (holds(arrays, known.arrays)) {
      names.emplace_back(known.name);
    }
  }
  return names;
}

/// The folder whose shape and tokenizer a model has. Results of earlier phases may have gone.
fs::path shape_of(const std::string& name, const io::job& job) {
  const io::starting_folders from = io::starting_folders_of(job, nullptr);
  return name == "reward" ? from.trunk : name == "critic" ? from.critic : from.policy;
}

void fill(model& into, const io::checkpoint_reader& reader, const std::string& arrays) {
  for (const engine::parameter& p : into.net.layout().all()) {
    const std::string name = arrays + p.name;
    if (!reader.has_array(name) || reader.shape(name) != p.shape) {
      throw error(errc::shape_mismatch, "{}: the checkpoint has no array of the shape [{}] that {} gives it", name,
                  fmt::join(p.shape, ", "), into.folder.string());
    }
    engine::write_rows(p, p.shape[0], reader.read(name), into.weights.data() + p.offset);
  }
}

}  // namespace

bool is_checkpoint(const fs::path& folder) { return fs::exists(folder / "manifest.json"); }

std::vector<std::string> models_in(const fs::path& checkpoint) { return models_in(io::checkpoint_reader(checkpoint)); }

model_ptr save_checkpointed(const fs::path& checkpoint, const std::string& name, const fs::path& target, dtype type,
                            bool overwrite) {
  const fs::path folder = fs::canonical(checkpoint);
  const io::checkpoint_reader reader(folder);
  const std::vector<std::string> names = models_in(reader);
  const auto known =
      std::find_if(known_models.begin(), known_models.end(), [&](const auto& m) { return m.name == name; });
  if (known == known_models.end() || std::find(names.begin(), names.end(), name) == names.end()) {
    throw error(errc::bad_argument, "{} holds no model \"{}\": it has {}", checkpoint.string(), name,
                fmt::join(names, ", "));
  }
  const io::run_directory run = io::run_directory::open(folder.parent_path().parent_path().parent_path());
  const fs::path started_from = shape_of(name, run.recorded_job());
  const fs::path place = io::model_target(target, std::array{folder, started_from}, overwrite);
  model_ptr shape = empty_model(started_from, known->head);
  fill(*shape, reader, known->arrays);
  const bool scalar = known->head == head_kind::scalar;
  const io::job job = run.recorded_job();
  learned_turns turns = learned_turns_of(job);
  save_model(*shape, shape->weights.data(), place,
             {.pad_token = scalar ? pad_token_of(*io::load_tokenizer(shape->folder)) : 0,
              .type = type,
              .chat_template = std::move(turns.chat_template),
              .turn_ends = std::move(turns.ends)});
  return shape;
}

}  // namespace troupe::actors
