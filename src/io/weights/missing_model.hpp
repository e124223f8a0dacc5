/// Why there is no model in a folder that somebody has named as one.
#pragma once

#include <filesystem>
#include <string>

namespace troupe::io {

/// Of a folder without config.json: what is there instead, and what to do. Begins without the folder's name: "there is
/// no such folder ...".
std::string missing_model(const std::filesystem::path& folder);

}  // namespace troupe::io
