/// Describes what lies on disk: a model folder, a checkpoint, an experience file or a run.
#pragma once

#include <filesystem>
#include <string>

namespace troupe::io {

/// One JSON object (`kind`: model, checkpoint, experience or run) on one line; or text for people.
/// Both end with a newline.
/// Errors  not_found; bad_argument: none of these; those of the readers.
std::string inspect_path(const std::filesystem::path& path, bool as_json);

}  // namespace troupe::io
