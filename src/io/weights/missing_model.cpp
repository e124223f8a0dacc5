#include "io/weights/missing_model.hpp"

#include "io/files/near_file.hpp"

#include <fmt/format.h>

#include <system_error>

namespace troupe::io {

namespace fs = std::filesystem;

/// OWNER/NAME of a hub: neither is a folder here.
static bool looks_like_a_hub_name(const fs::path& folder) {
  std::error_code ignored;
  const fs::path owner = folder.parent_path();
  return !owner.filename().empty() && owner.filename() != "." && owner.filename() != ".." &&
         !fs::exists(owner, ignored);
}

static bool holds_gguf(const fs::path& folder) {
  std::error_code failure;
  for (fs::directory_iterator entry(folder, failure), end; !failure && entry != end; entry.increment(failure)) {
    if (entry->path().extension() == ".gguf") {
      return true;
    }
  }
  return false;
}

std::string missing_model(const fs::path& folder) {
  std::error_code ignored;
  if (fs::is_regular_file(folder, ignored)) {
    return "it is a file, and a model is a folder with config.json and weights (`troupe convert` makes one of GGUF)";
  }
  if (fs::is_directory(folder / "models", ignored) && fs::exists(folder / "attempt", ignored)) {
    return fmt::format(
        "it is a run, and a model is a folder with config.json and weights: those that it made are in {}",
        (folder / "models").string());
  }
  if (fs::is_directory(folder, ignored)) {
    return holds_gguf(folder) ? "there is no config.json in it, but GGUF: make a model folder of that file by `troupe "
                                "convert`"
                              : "there is no config.json in it: a model is a folder with config.json, weights and "
                                "tokenizer, as `transformers` saves it";
  }
  if (looks_like_a_hub_name(folder)) {
    const std::string name = (folder.parent_path().filename() / folder.filename()).string();
    return fmt::format("there is no such folder. If {} is a model's name on a hub: Troupe downloads nothing. Fetch it "
                       "(hf download {} --local-dir {}) and name that folder",
                       name, name, folder.filename().string());
  }
  return "there is no such folder (a model is a folder with config.json and weights)" + did_you_mean_file(folder);
}

}  // namespace troupe::io
