/// Models of any shape, for runs that begin with random weights.
#pragma once

#include "support/program.hpp"
#include "support/test_data.hpp"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>

namespace troupe::test {

/// Makes the folder of stories260k again, without weights, and with other values in its config.json.
inline void copy_shape(const std::filesystem::path& folder, const nlohmann::json& changes) {
  std::filesystem::copy(test_data() + "/stories260k", folder);
  std::filesystem::remove(folder / "model.safetensors");
  nlohmann::json config = nlohmann::json::parse(text_of(folder / "config.json"));
  config.update(changes);
  std::ofstream(folder / "config.json") << config;
}

}  // namespace troupe::test
