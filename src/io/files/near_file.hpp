/// What file or folder somebody may have meant who names one that is not there.
#pragma once

#include <filesystem>
#include <string>

namespace troupe::io {

/// "; did you mean PATH?" with one beside it that is called nearly so, or nothing.
std::string did_you_mean_file(const std::filesystem::path& missing);

}  // namespace troupe::io
