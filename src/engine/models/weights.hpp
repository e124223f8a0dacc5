/// Between a family's Hugging Face tensor names and the arena of a Transformer.
#pragma once

#include "base/host_array.hpp"
#include "engine/models/inference_model.hpp"

#include <functional>
#include <string>
#include <vector>

namespace troupe::engine {

/// Rows [first, last) of a parameter (values of a vector), and where the first of them stands in an arena.
struct chosen_rows {
  int64_t first = 0, last = 0;
  int64_t arena_offset = 0;
  int64_t count() const { return last - first; }
};
/// What is wanted of a parameter: nothing, or rows that begin at a panel.
using row_choice = std::function<chosen_rows(const parameter& of)>;

/// Fills an arena from named tensors; one of bfloat16 takes the nearest values. Strict: a tensor that is missing,
/// misshapen or unknown is an error that names it, except the buffers that the family lists as ignorable and a
/// redundant tied head. Names with and without the family's usual prefix (model., transformer., gpt_neox.) are
/// accepted, whole files at a time.
/// A scalar head is read from score.weight or v_head.weight; where `new_scalar_head` is set it may be absent and
/// starts at zero, and a language-model head in the file is ignored.
/// `choose`: who keeps a part only reads no more of the files; empty: everything.
/// Errors  not_found, shape_mismatch, bad_file: all the mistakes of a file in one text.
void load_weights(const inference_model& net, const std::vector<std::string>& names, const array_finder& find,
                  reals weights, bool new_scalar_head = false, const row_choice& choose = {});

/// Calls `sink` once per tensor of file_tensors (tensor_names.hpp), as `transformers` loads them. `enter` is called
/// once for each segment, rising, before the first parameter in it is read: who holds a part only can fetch it then.
void save_weights(const inference_model& net, const_reals weights, const std::function<void(host_array)>& sink,
                  const std::function<void()>& enter = {});

/// Random initial weights (normal, `standard_deviation`; norms 1, biases 0): a function of the seed alone.
void initialise_weights(const inference_model& net, uint64_t seed, double standard_deviation, reals weights,
                        const std::function<void()>& written = {});

}  // namespace troupe::engine
