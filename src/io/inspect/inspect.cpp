#include "io/inspect/inspect.hpp"

#include "base/error.hpp"
#include "io/checkpoint/checkpoint.hpp"
#include "io/checkpoint/checkpoint_files.hpp"
#include "io/experience/capabilities.hpp"
#include "io/experience/experience.hpp"
#include "io/experience/summary.hpp"
#include "io/files/near_file.hpp"
#include "io/files/paths.hpp"
#include "io/json/json_outline.hpp"
#include "io/json/json_values.hpp"
#include "io/run/ledger.hpp"
#include "io/run/metrics.hpp"
#include "io/run/phases_begun.hpp"
#include "io/run/run_directory.hpp"
#include "io/weights/model_folder.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

json tensor_entry(const std::string& name, const std::string& type, const std::vector<int64_t>& shape) {
  return {{"name", name}, {"type", type}, {"shape", shape}};
}

json describe_model(const fs::path& path) {
  const model_folder model = model_folder::open(path);
  int64_t parameters = 0, bytes = 0;
  std::map<std::string, int64_t> types;
  json tensors = json::array();
  for (const std::string& name : model.tensor_names()) {
    const host_array tensor = model.find(name).value();
    parameters += tensor.elements();
    bytes += static_cast<int64_t>(tensor.bytes.size());
    types[to_string(tensor.type)] += tensor.elements();
    tensors.push_back(tensor_entry(name, to_string(tensor.type), tensor.shape));
  }
  return {{"kind", "model"},
          {"path", path.string()},
          {"model_type", get_text(model.config(), "model_type", "")},
          {"architecture", get_text(model.config(), "architectures.0", "")},
          {"parameters", parameters},
          {"bytes", bytes},
          {"parameters_by_type", types},
          {"tensors", std::move(tensors)}};
}

json values_of(const key_map& values) {
  json object = json::object();
  for (const auto& [name, value] : values) {
    object[name] = to_json(value);
  }
  return object;
}

json describe_manifest(const checkpoint_manifest& manifest) {
  int64_t bytes = 0;
  for (const checkpoint_file& file : manifest.files) {
    bytes += file.bytes;
  }
  return {{"phase", manifest.phase},
          {manifest.unit, manifest.counter},
          {"attempt", manifest.attempt},
          {"ranks", manifest.ranks},
          {"bytes", bytes},
          {"counters", values_of(manifest.counters)},
          {"digests", manifest.digests}};
}

json describe_checkpoint(const fs::path& path) {
  const checkpoint_manifest manifest = read_manifest(path);
  verify_checkpoint(path, manifest);
  const checkpoint_reader reader(path, true);
  json result = {{"kind", "checkpoint"}, {"path", path.string()}};
  result.update(describe_manifest(manifest));
  json files = json::array();
  for (const checkpoint_file& file : manifest.files) {
    files.push_back({{"name", file.name}, {"bytes", file.bytes}, {"digest", file.digest}});
  }
  result["files"] = std::move(files);
  result["values"] = reader.scalar_names();
  json arrays = json::array();
  for (const std::string& name : reader.array_names()) {
    arrays.push_back(tensor_entry(name, "f32", reader.shape(name)));
  }
  result["arrays"] = std::move(arrays);
  return result;
}

/// Mean, spread and range; values that are not finite are counted apart.
template <class T> json statistics(const std::vector<T>& values) {
  std::vector<double> finite;
  for (const T value : values) {
    if (std::isfinite(static_cast<double>(value))) {
      finite.push_back(static_cast<double>(value));
    }
  }
  json result = {{"n", values.size()}};
  if (finite.size() < values.size()) {
    result["not_finite"] = values.size() - finite.size();
  }
  if (!finite.empty()) {
    const auto n = static_cast<double>(finite.size());
    const double mean = std::accumulate(finite.begin(), finite.end(), 0.0) / n;
    double squares = 0;
    for (const double value : finite) {
      squares += (value - mean) * (value - mean);
    }
    const auto [low, high] = std::minmax_element(finite.begin(), finite.end());
    result.update(json{{"mean", mean}, {"std", std::sqrt(squares / n)}, {"min", *low}, {"max", *high}});
  }
  return result;
}

std::vector<int64_t> lengths(const std::vector<int64_t>& offsets) {
  std::vector<int64_t> result;
  for (size_t i = 1; i < offsets.size(); ++i) {
    result.push_back(offsets[i] - offsets[i - 1]);
  }
  return result;
}

json reward_statistics(const experience& e) {
  json result = json::object();
  const size_t sources = e.reward_names.size();
  for (size_t s = 0; s < sources; ++s) {
    std::vector<float> column;
    for (size_t at = s; at < e.reward_raw_BS.size(); at += sources) {
      column.push_back(e.reward_raw_BS[at]);
    }
    result[e.reward_names[s]] = statistics(column);
  }
  return result;
}

json describe_experience(const fs::path& path) {
  const experience e = read_experience_unchecked(path);
  std::vector<float> kl(std::min(e.logprob_old_A.size(), e.logprob_ref_A.size()));  // none where one is not there
  std::transform(e.logprob_old_A.begin(), e.logprob_old_A.begin() + static_cast<int64_t>(kl.size()),
                 e.logprob_ref_A.begin(), kl.begin(), std::minus<>());
  const experience_summary summary = summary_of(e);
  return {{"kind", "experience"},
          {"path", path.string()},
          {"iteration", e.iteration},
          {"policy_version", e.policy_version},
          {"seed", e.seed},
          {"temperature", e.temperature},
          {"top_k", e.top_k},
          {"top_p", e.top_p},
          {"job_digest", e.job_digest},
          {"policy_digest", e.policy_digest},
          {"reference_digest", e.reference_digest},
          {"critic_digest", e.critic_digest},
          {"tokenizer_digest", e.tokenizer_digest},
          {"behaviour", to_string(e.behaviour)},
          {"behaviour_digest", e.behaviour_digest},
          {"complete", e.complete},
          {"serves", describe(capabilities_of(e))},
          {"sequences", e.sequences()},
          {"groups", summary.groups},
          {"unscorable", summary.unscorable},
          {"tokens", e.token_N.size()},
          {"answer_tokens", e.answer_tokens()},
          {"sources", e.source_names},
          {"finished", std::count(e.finished_B.begin(), e.finished_B.end(), uint8_t{1})},
          {"has_text", !e.prompt_text_B.empty()},
          {"answer_length", statistics(lengths(e.answer_offset_B1))},
          {"reward_raw", reward_statistics(e)},
          {"reward_shaped", statistics(e.reward_shaped_A)},
          {"advantage", statistics(e.advantage_A)},
          {"value", statistics(e.value_A)},
          {"logprob_old", statistics(e.logprob_old_A)},
          {"logprob_old_minus_ref", statistics(kl)}};
}

std::vector<std::string> names_in(const fs::path& folder, bool folders) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : entries_of(folder)) {
    if (is_folder(entry.path()) == folders) {
      names.push_back(entry.path().filename().string());
    }
  }
  return names;
}

json describe_checkpoints(const run_directory& run) {
  json result = json::array();
  for (const std::string& phase : names_in(run.checkpoints(), true)) {
    std::vector<std::string> problems;
    for (const found_checkpoint& found : list_checkpoints(run.checkpoints(), phase, &problems)) {
      json entry = {{"path", found.folder.lexically_relative(run.root()).string()}};
      entry.update(describe_manifest(found.manifest));
      result.push_back(std::move(entry));
    }
    for (const std::string& problem : problems) {
      result.push_back({{"phase", phase}, {"problem", problem}});
    }
  }
  return result;
}

json event_entry(const ledger_event& event) {
  json entry = {{"event", to_string(event.kind)}, {"time", event.time}, {"attempt", event.attempt}};
  if (!event.phase.empty()) {
    entry["phase"] = event.phase;
  }
  if (event.counter >= 0) {
    entry["counter"] = event.counter;
  }
  for (const auto& [name, value] : event.fields) {
    entry[name] = to_json(value);
  }
  return entry;
}

bool is_failure(ledger_kind kind) {
  return kind == ledger_kind::worker_failed || kind == ledger_kind::worker_hung ||
         kind == ledger_kind::checkpoint_damaged || kind == ledger_kind::checkpoint_failed ||
         kind == ledger_kind::run_failed;
}

void add_ledger(json& result, const run_directory& run) {
  json failures = json::array(), finished = json::array(), forked;
  std::string phase;
  const std::vector<ledger_event> events = read_ledger(run.ledger());
  for (const ledger_event& event : events) {
    if (is_failure(event.kind)) {
      failures.push_back(event_entry(event));
    } else if (event.kind == ledger_kind::phase_started) {
      phase = event.phase;
    } else if (event.kind == ledger_kind::forked) {
      forked = event_entry(event);
    }
  }
  for (const io::phase done : phases_begun_of(events).finished()) {
    finished.push_back(to_string(done));
  }
  if (!forked.is_null()) {
    result["forked"] = std::move(forked);
  }
  result["phase"] = phase;
  result["finished_phases"] = std::move(finished);
  result["last_event"] = events.empty() ? json() : event_entry(events.back());
  result["failures"] = std::move(failures);
}

json last_metrics(const run_directory& run) {
  if (!is_there(run.metrics())) {
    return nullptr;
  }
  const std::vector<metrics_record> records = read_metrics(run.metrics());
  return records.empty() ? json() : json::parse(metrics_line(records.back()));
}

json describe_run(const fs::path& path) {
  const run_directory run = run_directory::open(path);
  json result = {{"kind", "run"}, {"path", path.string()}, {"attempts", run.attempt()}};
  add_ledger(result, run);
  result["last_metrics"] = last_metrics(run);
  result["checkpoints"] = describe_checkpoints(run);
  const std::vector<std::string> rollouts = names_in(run.experience(), false);
  result["experience_files"] = rollouts.size();
  result["last_experience"] = rollouts.empty() ? json() : json("experience/" + rollouts.back());
  result["models"] = json::array();
  for (const std::string& name : names_in(run.models(), true)) {
    result["models"].push_back("models/" + name);
  }
  result["free_bytes"] = run.free_bytes();
  return result;
}

json describe_json(const fs::path& path) {
  if (!is_there(path)) {
    throw error(errc::not_found, "{} does not exist{}", path.string(), did_you_mean_file(path));
  }
  if (fs::is_regular_file(path)) {
    return describe_experience(path);
  }
  if (is_there(path / manifest_name)) {
    return describe_checkpoint(path);
  }
  if (is_there(path / "config.json")) {
    return describe_model(path);
  }
  if (is_there(path / "attempt")) {
    return describe_run(path);
  }
  throw error(errc::bad_argument,
              "{} is no model folder (config.json), checkpoint (manifest.json), run (attempt) or "
              "experience file",
              path.string());
}

}  // namespace

std::string inspect_path(const fs::path& path, bool as_json) {
  const json description = describe_json(path);
  if (as_json) {
    return dump(description, false) + "\n";
  }
  return json_outline(description);
}

}  // namespace troupe::io
