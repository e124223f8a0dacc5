#include "actors/cast/input_change.hpp"

namespace troupe::actors {

std::optional<input_change> find_input_change(const std::map<std::string, std::string>& then,
                                              const std::map<std::string, std::string>& now) {
  for (const auto& [name, digest] : now) {
    const auto before = then.find(name);
    if (name == "job" || before == then.end() || before->second == digest) {
      continue;
    }
    const bool data = name.ends_with("data");
    return input_change{.what = name + (data ? " have changed" : " has changed"),
                        .former = data ? "files of [data.*] and tokenizer" : "model folder",
                        .then = before->second,
                        .now = digest};
  }
  return std::nullopt;
}

}  // namespace troupe::actors
