/// Hugging Face model folders, in and out.
#pragma once

#include "base/host_array.hpp"
#include "base/keys.hpp"
#include "io/files/attempt_fence.hpp"
#include "io/weights/model_config.hpp"  // for callers that also turn heads
#include "io/weights/safetensors.hpp"

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {

/// A model on disk. Weights are the first of: model.safetensors; model.safetensors.index.json with
/// its shards; pytorch_model.bin; pytorch_model.bin.index.json with its shards. No other file is
/// globbed. v_head.safetensors beside them is read too (a scalar head). Copies share the mapped
/// files.
class model_folder {
public:
  /// Errors  not_found (folder, config.json or weights: names what was looked for), io_failure,
  /// bad_file (malformed; an index that names a missing shard or a tensor that its shard lacks; a
  /// tensor twice), unsupported.
  static model_folder open(const std::filesystem::path& folder);

  /// The same without its weights, which need not be there: no tensors.
  static model_folder open_shape(const std::filesystem::path& folder);

  const std::filesystem::path& path() const { return path_; }

  /// config.json, flattened, and as text.
  const key_map& config() const { return config_; }
  const std::string& config_json() const { return config_json_; }

  /// generation_config.json, flattened; empty where there is none.
  const key_map& generation_config() const { return generation_config_; }

  /// Of the weights and of v_head.safetensors, sorted.
  std::vector<std::string> tensor_names() const;
  std::optional<host_array> find(const std::string& name) const;

  /// find() as the engine asks for it; keeps the files alive.
  array_finder finder() const;

private:
  struct weights;
  std::filesystem::path path_;
  key_map config_, generation_config_;
  std::string config_json_;
  std::shared_ptr<const weights> weights_;
};

/// Hands tensors over one at a time by calling `sink`; engine::save_weights has this shape.
using tensor_producer = std::function<void(const std::function<void(host_array)>& sink)>;

struct model_folder_contents {
  std::string config_json;
  std::string generation_config_json;  ///< empty: none is written
  std::vector<tensor_shape> tensors;   ///< types as they are to be stored; the producer's values are converted
  tensor_producer producer;
  std::filesystem::path tokenizer_source;            ///< folder to copy tokenizer files from; empty: none
  std::map<std::string, std::string> further_files;  ///< name to text
  /// Above this the weights are sharded, with an index.
  int64_t shard_bytes = int64_t{5} * 1000 * 1000 * 1000;
};

/// Writes a folder that `transformers` loads, complete or not at all; an older one is replaced. A run's models are made
/// behind the fence of the attempt that writes them.
/// Errors  io_failure, bad_argument, shape_mismatch, bad_file (config_json is no object).
void write_model_folder(const std::filesystem::path& target, const model_folder_contents& contents,
                        const attempt_fence* fence = nullptr);

/// Copies what a tokenizer is made of (tokenizer.json, tokenizer_config.json,
/// special_tokens_map.json, vocab.json, merges.txt, tokenizer.model, added_tokens.json,
/// chat_template.jinja), as far as it is there.
/// Errors  io_failure.
void copy_tokenizer_files(const std::filesystem::path& source, const std::filesystem::path& target);

}  // namespace troupe::io
