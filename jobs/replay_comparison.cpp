#include "jobs/replay_comparison.hpp"

#include "io/checkpoint/checkpoint.hpp"
#include "io/json/jsonl_filter.hpp"
#include "io/weights/model_folder.hpp"
#include "jobs/sha256.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <bit>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <span>

namespace troupe {

namespace {

namespace fs = std::filesystem;

struct tensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

/// Tensors by name, of which one at a time is read.
struct tensor_source {
  std::set<std::string> names;
  std::function<tensor(const std::string& name)> read;
};

tensor_source tensors_of(const io::checkpoint_reader& reader) {
  const std::vector<std::string> names = reader.array_names();
  return {{names.begin(), names.end()}, [&reader](const std::string& name) {
            return tensor{reader.shape(name), reader.read(name)};
          }};
}

/// "policy/lm_head.weight", of the models that a ppo phase saves.
tensor_source tensors_of(const std::map<std::string, io::model_folder>& models) {
  tensor_source source;
  for (const auto& [name, folder] : models) {
    for (const std::string& of_model : folder.tensor_names()) {
      source.names.insert(name + "/" + of_model);
    }
  }
  source.read = [&models](const std::string& name) {
    const size_t slash = name.find('/');
    const auto found = models.at(name.substr(0, slash)).find(name.substr(slash + 1));
    return tensor{found->shape, to_float32(*found)};
  };
  return source;
}

void add_to(sha256& digest, const std::string& name, const tensor& of) {
  digest.update(fmt::format("{} [{}]\n", name, fmt::join(of.shape, ", ")));
  digest.update(std::as_bytes(std::span(of.values)));
}

/// Empty: they are equal.
std::string difference_of(const std::string& name, const tensor& live, const tensor& replayed) {
  if (live.shape != replayed.shape) {
    return fmt::format("{}: shape [{}] in the run, [{}] in its replay", name, fmt::join(live.shape, ", "),
                       fmt::join(replayed.shape, ", "));
  }
  for (size_t i = 0; i < live.values.size(); ++i) {
    if (std::bit_cast<uint32_t>(live.values[i]) != std::bit_cast<uint32_t>(replayed.values[i])) {
      return fmt::format("{}[{}]: {:.9g} in the run, {:.9g} in its replay", name, i, live.values[i],
                         replayed.values[i]);
    }
  }
  return "";
}

void compare_tensors(const tensor_source& live, const tensor_source& replayed, replay_comparison& found) {
  sha256 of_live;
  sha256 of_replayed;
  std::set<std::string> names = live.names;
  names.insert(replayed.names.begin(), replayed.names.end());
  for (const std::string& name : names) {
    const bool in_live = live.names.contains(name);
    const bool in_replayed = replayed.names.contains(name);
    const tensor then = in_live ? live.read(name) : tensor{};
    const tensor now = in_replayed ? replayed.read(name) : tensor{};
    if (in_live) {
      add_to(of_live, name, then);
    }
    if (in_replayed) {
      add_to(of_replayed, name, now);
    }
    const std::string difference = in_live && in_replayed ? difference_of(name, then, now)
                                   : in_live              ? name + ": the replay has none"
                                                          : name + ": the run has none";
    ++found.tensors;
    found.differ += difference.empty() ? 0 : 1;
    if (found.first_difference.empty()) {
      found.first_difference = difference;
    }
  }
  found.sha256_live = of_live.text();
  found.sha256_replayed = of_replayed.text();
}

/// Counters and controllers, as texts. Which evaluation was the best is no matter of a replay, which has none.
std::map<std::string, std::string> numbers_of(const io::checkpoint_reader& reader) {
  std::map<std::string, std::string> numbers;
  for (const std::string& name : reader.scalar_names()) {
    if (name.starts_with("state/best_")) {
      continue;
    }
    numbers[name] =
        name.starts_with("state/") ? fmt::format("{}", reader.real(name)) : fmt::format("{}", reader.integer(name));
  }
  return numbers;
}

void compare_numbers(const io::checkpoint_reader& live, const io::checkpoint_reader& replayed,
                     replay_comparison& found) {
  const auto then = numbers_of(live);
  const auto now = numbers_of(replayed);
  std::set<std::string> names;
  for (const auto* side : {&then, &now}) {
    for (const auto& [name, value] : *side) {
      names.insert(name);
    }
  }
  const auto shown = [](const std::map<std::string, std::string>& side, const std::string& name) {
    const auto at = side.find(name);
    return at != side.end() ? at->second : std::string("absent");
  };
  for (const std::string& name : names) {
    if (shown(then, name) != shown(now, name)) {
      found.numbers.push_back(
          fmt::format("{}: {} in the run, {} in its replay", name, shown(then, name), shown(now, name)));
    }
  }
}

std::map<std::string, io::model_folder> models_of(const io::run_directory& run) {
  std::map<std::string, io::model_folder> models;
  for (const char* name : {"policy", "critic", "policy-ema"}) {
    if (fs::exists(run.model(name))) {
      models.emplace(name, io::model_folder::open(run.model(name)));
    }
  }
  return models;
}

}  // namespace

replay_comparison compare_replay(const io::replayed_run& live, const io::run_directory& replayed, int64_t iteration) {
  replay_comparison found;
  const fs::path then = live.checkpoint(iteration);
  if (!fs::exists(then / "manifest.json")) {
    found.live = live.run().models().string();
    found.replayed = replayed.models().string();
    const auto live_models = models_of(live.run());
    const auto replayed_models = models_of(replayed);
    compare_tensors(tensors_of(live_models), tensors_of(replayed_models), found);
    return found;
  }
  const fs::path now = io::checkpoint_folder(replayed.checkpoints(), "replay", "iteration", iteration);
  found.live = then.string();
  found.replayed = now.string();
  const io::checkpoint_reader live_reader(then);
  const io::checkpoint_reader replayed_reader(now);
  compare_tensors(tensors_of(live_reader), tensors_of(replayed_reader), found);
  compare_numbers(live_reader, replayed_reader, found);
  return found;
}

void require_comparable(const io::replayed_run& live, int64_t iteration) {
  const fs::path then = live.checkpoint(iteration);
  if (fs::exists(then / "manifest.json")) {
    io::verify_checkpoint(then, io::read_manifest(then));
  } else {
    models_of(live.run());
  }
}

std::string comparison_text(const replay_comparison& found) {
  std::string text = fmt::format("{} tensors compared, {} differ\n", found.tensors, found.differ);
  if (!found.first_difference.empty()) {
    text += fmt::format("the first that differs  {}\n", found.first_difference);
  }
  for (const std::string& number : found.numbers) {
    text += fmt::format("a number that differs   {}\n", number);
  }
  return text + fmt::format("sha256 of the run       {}  {}\nsha256 of its replay    {}  {}\n", found.sha256_live,
                            found.live, found.sha256_replayed, found.replayed);
}

std::string comparison_json(const replay_comparison& found) {
  const io::json_line object = {
      {"tensors", found.tensors}, {"differ", found.differ},           {"first_difference", found.first_difference},
      {"numbers", found.numbers}, {"sha256_live", found.sha256_live}, {"sha256_replayed", found.sha256_replayed},
      {"live", found.live},       {"replayed", found.replayed}};
  return io::json_line_text(object) + "\n";
}

}  // namespace troupe
