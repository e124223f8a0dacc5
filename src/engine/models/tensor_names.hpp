/// Which tensor of a Hugging Face file holds which rows of which parameter.
#pragma once

#include "engine/models/family.hpp"
#include "engine/models/inference_model.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::engine {

/// How the rows of a tensor in the file stand to the rows of a parameter.
enum class row_order {
  same,
  transposed,  ///< the file has [inputs, outputs] (GPT-2's Conv1D); vectors are as they are
  by_head,     ///< file: head by head its query, key and value rows; parameter: all queries, keys,
               ///< values
};

/// One tensor of a file: rows [first_row, first_row + rows) of a parameter.
struct file_tensor {
  std::string name;                 ///< as `transformers` saves it
  std::vector<int64_t> shape = {};  ///< in the file
  int64_t parameter = 0;            ///< index in the layout
  int64_t first_row = 0, rows = 0, columns = 1;
  row_order order = row_order::same;
  int64_t heads = 0;  ///< by_head: how many
};

/// All tensors of a model, grouped by parameter in the layout's order.
/// Errors  bad_argument: its description names no family; unsupported: the family has no name for a parameter.
std::vector<file_tensor> file_tensors(const inference_model& net);

/// Whether a tensor of a file is a buffer that holds no parameter: causal masks, rotary frequencies.
bool is_parameterless_buffer(const model_family& family, std::string_view name);

/// Copies a tensor's values (of its file shape) into the rows of its parameter, and back.
void place_rows(const file_tensor& tensor, std::span<const float> file_values, std::span<float> parameter_values);
std::vector<float> extract_rows(const file_tensor& tensor, std::span<const float> parameter_values);

}  // namespace troupe::engine
