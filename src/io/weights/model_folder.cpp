#include "io/weights/model_folder.hpp"

#include "base/error.hpp"
#include "io/files/atomic_file.hpp"
#include "io/files/byte_reader.hpp"
#include "io/files/mapped_file.hpp"
#include "io/files/paths.hpp"
#include "io/json/json.hpp"
#include "io/json/json_keys.hpp"
#include "io/weights/array_types.hpp"
#include "io/weights/missing_model.hpp"
#include "io/weights/torch_file.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <regex>
#include <set>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

constexpr const char* config_file = "config.json";
constexpr const char* generation_config_file = "generation_config.json";
constexpr const char* single_file = "model.safetensors";
constexpr const char* single_index = "model.safetensors.index.json";
constexpr const char* torch_single_file = "pytorch_model.bin";
constexpr const char* torch_index = "pytorch_model.bin.index.json";
constexpr const char* value_head_file = "v_head.safetensors";

/// The shards that an index names, and which tensor it says is where.
std::map<std::string, std::string> read_index(const fs::path& path) {
  const nlohmann::json root = parse_json(read_text_file(path), path.string());
  if (!root.is_object() || !root.contains("weight_map") || !root["weight_map"].is_object()) {
    throw error(errc::bad_file, "{}: the object weight_map is missing", path.string());
  }
  std::map<std::string, std::string> shard_of;
  for (const auto& [tensor, shard] : root["weight_map"].items()) {
    const std::string file = shard.is_string() ? shard.get<std::string>() : "";
    // A shard is a file of the same folder: an index must not reach outside it.
    if (file.empty() || fs::path(file).filename() != file || file == "." || file == "..") {
      throw error(errc::bad_file, "{}: tensor {} is said to be in {}, which is no file name", path.string(),
                  excerpt(tensor), excerpt(shard.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace)));
    }
    shard_of.emplace(tensor, file);
  }
  return shard_of;
}

}  // namespace

/// A trainer that saves its own module, which holds the model, puts that member's name before each tensor's:
/// DeepSpeed-Chat's reward models (both spellings are in use). What is left are the names of the bare trunk and
/// v_head.weight.
static std::string without_wrapper(const std::string& name) {
  for (const std::string_view wrapper : {"rwtransformer.", "rwtranrsformer."}) {
    if (name.starts_with(wrapper)) {
      return name.substr(wrapper.size());
    }
  }
  return name;
}

struct model_folder::weights {
  using finder_of_file = std::function<std::optional<host_array>(const std::string&)>;
  struct place {
    std::string file;
    std::string name_in_file;
    size_t finder = 0;
  };
  std::vector<finder_of_file> finders;
  std::map<std::string, place> places;
  std::map<std::string, std::string> shard_of;  // by the index, where there is one; of names in files

  void add_file(const fs::path& path) {
    if (path.extension() == ".bin") {
      add(torch_file::open(path), path);
    } else {
      add(safetensors_file::open(path), path);
    }
  }

  /// Opens the shards of an index. As in `transformers` the shards say what there is: published indices list buffers
  /// that were not saved, and leave out tensors that were. A tensor that the model needs and nobody has is found when
  /// it is loaded.
  void add_indexed(const fs::path& index) {
    shard_of = read_index(index);
    std::set<std::string> shards;
    for (const auto& [tensor, shard] : shard_of) {
      shards.insert(shard);
    }
    for (const std::string& shard : shards) {
      const fs::path path = index.parent_path() / shard;
      if (!is_there(path)) {
        throw error(errc::bad_file, "{}: the shard {} that it names is missing", index.string(), path.string());
      }
      add_file(path);
    }
  }

private:
  template <class File> void add(File file, const fs::path& path) {
    const std::string file_name = path.filename().string();
    for (const std::string& name : file.names()) {
      const place here{file_name, name, finders.size()};
      const auto [found, inserted] = places.emplace(without_wrapper(name), here);
      if (!inserted) {
        resolve(found->second, here, path);
      }
    }
    finders.push_back([file = std::move(file)](const std::string& name) { return file.find(name); });
  }

  /// Of two files that hold a tensor, the one that the index names.
  void resolve(place& known, const place& other, const fs::path& path) const {
    const auto listed = shard_of.find(other.name_in_file);
    if (listed == shard_of.end() || (listed->second != known.file && listed->second != other.file)) {
      throw error(errc::bad_file, "{}: tensor {} is in {} too", path.string(), other.name_in_file, known.file);
    }
    if (listed->second == other.file) {
      known = other;
    }
  }
};

model_folder model_folder::open_shape(const fs::path& folder) {
  if (!is_there(folder / "config.json")) {
    throw error(errc::not_found, "{}: {}", folder.string(), missing_model(folder));
  }
  model_folder model;
  model.path_ = folder;
  model.config_json_ = read_text_file(folder / "config.json");
  model.config_ = parse_json_keys(model.config_json_, (folder / "config.json").string());
  if (is_there(folder / "generation_config.json")) {
    model.generation_config_ = read_json_keys(folder / "generation_config.json");
  }
  model.weights_ = std::make_shared<weights>();
  return model;
}

model_folder model_folder::open(const fs::path& folder) {
  model_folder model = open_shape(folder);
  auto found = std::make_shared<weights>();
  if (is_there(folder / single_file)) {
    found->add_file(folder / single_file);
  } else if (is_there(folder / single_index)) {
    found->add_indexed(folder / single_index);
  } else if (is_there(folder / torch_single_file)) {
    found->add_file(folder / torch_single_file);
  } else if (is_there(folder / torch_index)) {
    found->add_indexed(folder / torch_index);
  } else {
    throw error(errc::not_found, "{}: no weights: none of {}, {}, {}, {} is there", folder.string(), single_file,
                single_index, torch_single_file, torch_index);
  }
  if (is_there(folder / value_head_file)) {
    found->add_file(folder / value_head_file);
  }
  model.weights_ = std::move(found);
  return model;
}

std::vector<std::string> model_folder::tensor_names() const {
  std::vector<std::string> names;
  for (const auto& [name, place] : weights_->places) {
    names.push_back(name);
  }
  return names;
}

std::optional<host_array> model_folder::find(const std::string& name) const {
  const auto found = weights_->places.find(name);
  if (found == weights_->places.end()) {
    return std::nullopt;
  }
  auto array = weights_->finders[found->second.finder](found->second.name_in_file);
  if (array) {
    array->name = name;
  }
  return array;
}

array_finder model_folder::finder() const {
  return [model = *this](const std::string& name) { return model.find(name); };
}

// --- writing ---

static constexpr std::array tokenizer_files = {
    "tokenizer.json",  "tokenizer_config.json", "special_tokens_map.json", "vocab.json",        "merges.txt",
    "tokenizer.model", "added_tokens.json",     "chat_template.jinja",     "chat_template.json"};

/// Whether write_model_folder gives a file this name.
static bool is_name_of_a_model_file(const std::string& name) {
  static const std::regex weights(R"(model(-\d{5,}-of-\d{5,})?\.safetensors)");
  return name == config_file || name == generation_config_file || name == single_index ||
         std::find(tokenizer_files.begin(), tokenizer_files.end(), name) != tokenizer_files.end() ||
         std::regex_match(name, weights);
}

std::optional<std::string> stranger_in_model_folder(const fs::path& folder) {
  for (const fs::directory_entry& entry : entries_of(folder)) {
    const std::string name = entry.path().filename().string();
    if (!is_name_of_a_model_file(name) || is_folder(entry.path())) {
      return name;
    }
  }
  return std::nullopt;
}

void copy_tokenizer_files(const fs::path& source, const fs::path& target) {
  for (const char* name : tokenizer_files) {
    if (is_there(source / name)) {
      const auto file = mapped_file::open(source / name);
      write_file_atomically(target / name, file->bytes());
    }
  }
}

namespace {

/// Which tensors go into which file: in the given order, a new shard where the limit would be
/// passed.
std::vector<std::vector<tensor_shape>> divide(const std::vector<tensor_shape>& tensors, int64_t shard_bytes) {
  std::vector<std::vector<tensor_shape>> shards(1);
  int64_t filled = 0;
  for (const tensor_shape& tensor : tensors) {
    if (!shards.back().empty() && filled + tensor.bytes() > shard_bytes) {
      shards.emplace_back();
      filled = 0;
    }
    filled += tensor.bytes();
    shards.back().push_back(tensor);
  }
  return shards;
}

/// The open files of one model. Tensors come in the producer's order, so all shards stay open until
/// the end.
class sharded_writer {
public:
  sharded_writer(const fs::path& folder, const std::vector<tensor_shape>& tensors, int64_t shard_bytes) {
    const auto shards = divide(tensors, shard_bytes);
    for (size_t i = 0; i < shards.size(); ++i) {
      const std::string name =
          shards.size() == 1 ? single_file : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
      for (const tensor_shape& tensor : shards[i]) {
        if (!slots_.emplace(tensor.name, slot{i, tensor.type, name}).second) {
          throw error(errc::bad_argument, "{}: two tensors are named {}", folder.string(), tensor.name);
        }
        total_bytes_ += tensor.bytes();
      }
      writers_.emplace_back(folder / name, shards[i]);
    }
    if (shards.size() > 1) {
      write_file_atomically(folder / single_index, index());
    }
  }

  void write(const host_array& array) {
    const auto found = slots_.find(array.name);
    if (found == slots_.end()) {
      throw error(errc::bad_argument, "tensor {} is not in the list of those to be written", array.name);
    }
    writers_[found->second.writer].write(convert_array(array, found->second.type));
  }

  void commit() {
    for (safetensors_writer& writer : writers_) {
      writer.commit();
    }
  }

private:
  struct slot {
    size_t writer = 0;
    dtype type = dtype::f32;
    std::string file;
  };

  std::string index() const {
    nlohmann::json weight_map = nlohmann::json::object();
    for (const auto& [name, slot] : slots_) {
      weight_map[name] = slot.file;
    }
    nlohmann::ordered_json root;
    root["metadata"]["total_size"] = total_bytes_;
    root["weight_map"] = weight_map;
    return root.dump(2) + "\n";
  }

  std::map<std::string, slot> slots_;
  std::deque<safetensors_writer> writers_;
  int64_t total_bytes_ = 0;
};

}  // namespace

/// A folder of the model's name that holds other things than models do was not made by a run: it gets another name.
static void keep_strangers(const fs::path& target) {
  if (!is_folder(target) || !stranger_in_model_folder(target)) {
    return;
  }
  fs::path kept;
  for (int i = 1; kept.empty() || is_there(kept); ++i) {
    kept = target;
    kept += fmt::format(".kept-{}", i);
  }
  rename_path(target, kept);
}

void write_model_folder(const fs::path& target, const model_folder_contents& contents, const attempt_fence* fence) {
  parse_json_keys(contents.config_json, (target / config_file).string());
  if (fence != nullptr) {
    keep_strangers(target);
  }
  atomic_folder folder = fence != nullptr ? atomic_folder(target, fence->workplace(target)) : atomic_folder(target);
  write_file_atomically(folder.staging() / config_file, contents.config_json);
  if (!contents.generation_config_json.empty()) {
    write_file_atomically(folder.staging() / generation_config_file, contents.generation_config_json);
  }
  if (!contents.tokenizer_source.empty()) {
    copy_tokenizer_files(contents.tokenizer_source, folder.staging());
  }
  for (const auto& [name, text] : contents.further_files) {
    write_file_atomically(folder.staging() / name, text);
  }
  sharded_writer writer(folder.staging(), contents.tensors, contents.shard_bytes);
  contents.producer([&](const host_array& array) { writer.write(array); });
  writer.commit();
  if (fence != nullptr) {
    fence->require();
  }
  folder.commit();
}

}  // namespace troupe::io
