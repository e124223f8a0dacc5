/// The values that a pickle of tensors is made of, and the only globals that it may name. Internal to io/pickle.
#pragma once

#include "base/host_array.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

namespace troupe::io::pickle {

/// Values live in one vector and refer to each other by index: a pickle may build cycles, which
/// then cost nothing.
using reference = uint32_t;

enum class kind : uint8_t {
  none,
  boolean,
  integer,
  real,
  text,
  tuple,
  list,
  dictionary,
  rebuild_tensor,
  rebuild_parameter,
  ordered_dictionary_class,
  storage_class,
  storage,
  tensor
};

/// As errors name it: "a tuple".
const char* to_string(kind k);

struct value {
  kind what = kind::none;
  dtype type = dtype::f32;     ///< of a storage class or storage
  int64_t integer = 0;         ///< also a storage's elements, a tensor's offset
  std::string_view text = {};  ///< also a storage's key; points into the pickle
  /// tuple, list; dictionary: key, value, key, value; tensor: storage, shape, stride
  std::vector<reference> items = {};
};

struct global {
  std::string_view module, name;
  kind what;
  dtype type = dtype::f32;
};

/// None: not one that tensors need.
const global* find_global(std::string_view module, std::string_view name);

}  // namespace troupe::io::pickle
