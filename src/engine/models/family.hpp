/// A family of models: all that tells it from the others. Each has a source of its own in families/, which defines the
/// function `const model_family& NAME()` after which the file is named. The list of families is made from that folder
/// (src/engine/CMakeLists.txt), so a new one is one new file.
#pragma once

#include "base/keys.hpp"
#include "engine/models/description.hpp"

#include <span>
#include <string_view>
#include <vector>

namespace troupe::engine {

/// Which rows of a parameter a module of the family's files holds.
enum class module_part : uint8_t {
  whole,
  transposed,  ///< all rows, stored as [inputs, outputs] (GPT-2's Conv1D)
  by_head,     ///< all rows: head by head its query, key and value rows
  query,
  key,
  value,
  gate,
  up,
};

/// A module of the files, which has a weight and perhaps a bias, and the parameter that holds it (models/slots.cpp).
struct module_name {
  const char* in_file;
  const char* parameter;  ///< its name without .weight or .bias; in a block without layers.N.
  module_part part = module_part::whole;
};

/// The names of tensors in files, as `transformers` saves them.
struct tensor_naming {
  std::string_view prefix;  ///< in files of the whole model; names in files of the bare trunk lack it
  std::string_view block;   ///< what stands between the prefix and a block's number
  std::string_view head;    ///< the language-model head
  std::vector<module_name> trunk;
  std::vector<module_name> in_block;
  std::vector<std::string_view> buffer_endings = {};  ///< of tensors that hold no parameter: masks, frequencies
};

/// The `architectures` of config.json that a model is saved with. Neither can be left out.
struct saved_classes {
  constexpr saved_classes(std::string_view language_model_class, std::string_view scalar_head_class)
      : language_model(language_model_class), scalar_head(scalar_head_class) {}
  std::string_view language_model, scalar_head;
};

struct model_family {
  std::string_view type;  ///< model_type of config.json
  saved_classes saved_as;
  model_description (*describe)(const key_map& config);  ///< what `describe` (description.hpp) does not read itself
  tensor_naming tensors;
};

std::span<const model_family* const> all_families();

/// Errors  unsupported: no family has this model_type; the text lists those that there are.
const model_family& find_family(std::string_view type);

}  // namespace troupe::engine
