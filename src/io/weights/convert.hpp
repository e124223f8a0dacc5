/// Any model that Troupe reads, rewritten as a Hugging Face folder with safetensors.
#pragma once

#include "base/host_array.hpp"

#include <cstdint>
#include <filesystem>

namespace troupe::io {

struct conversion_report {
  int64_t tensors = 0;
  int64_t parameters = 0;
};

/// `source`: a GGUF file or a model folder. `type`: f32, bf16 or f16 for the floating-point
/// tensors.
/// Errors  those of model_folder, gguf_file and write_model_folder; bad_argument
/// for another type, or where `target` is `source`.
conversion_report convert_model(const std::filesystem::path& source, const std::filesystem::path& target, dtype type);

}  // namespace troupe::io
