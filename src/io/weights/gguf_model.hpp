/// A GGUF model in the terms of a Hugging Face folder.
#pragma once

#include "base/host_array.hpp"
#include "io/weights/gguf.hpp"
#include "io/weights/safetensors.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace troupe::io {

struct imported_model {
  std::string config_json;
  std::string generation_config_json;
  std::map<std::string, std::string> tokenizer_files;  ///< name to text
  std::vector<tensor_shape> tensors;                   ///< Hugging Face names; quantised ones as f32
  array_finder find;                                   ///< keeps the file alive
};

/// Translates the architectures `llama` and `qwen2`: config.json from the `llama.*` keys, tensors
/// renamed, and for llama the rows of the query and key projections brought back into Hugging
/// Face's order. llama.cpp's converter stores row (head h, half s, index i) at h K + 2 i + s, since
/// its rotary turns neighbours, where Hugging Face turns halves: h K + s K/2 + i. rope_freqs.weight
/// becomes rope_scaling where it is Llama 3's formula, else it is refused.
/// Errors  bad_file, not_found, unsupported (another architecture, experts, partial rotary, a tokenizer other than
/// byte-level BPE, a tensor without a place): each names the key or tensor.
/// Source  llama.cpp, convert_hf_to_gguf.py.
imported_model import_gguf(const std::shared_ptr<const gguf_file>& file);

}  // namespace troupe::io
