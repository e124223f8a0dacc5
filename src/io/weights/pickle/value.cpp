#include "io/weights/pickle/value.hpp"

#include <algorithm>
#include <iterator>

namespace troupe::io::pickle {
namespace {

constexpr global known_globals[] = {
    {"torch._utils", "_rebuild_tensor_v2", kind::rebuild_tensor},
    {"torch._utils", "_rebuild_parameter", kind::rebuild_parameter},
    {"collections", "OrderedDict", kind::ordered_dictionary_class},
    {"torch", "FloatStorage", kind::storage_class, dtype::f32},
    {"torch", "HalfStorage", kind::storage_class, dtype::f16},
    {"torch", "BFloat16Storage", kind::storage_class, dtype::bf16},
    {"torch", "DoubleStorage", kind::storage_class, dtype::f64},
    {"torch", "LongStorage", kind::storage_class, dtype::i64},
    {"torch", "IntStorage", kind::storage_class, dtype::i32},
    {"torch", "ShortStorage", kind::storage_class, dtype::i16},
    {"torch", "CharStorage", kind::storage_class, dtype::i8},
    {"torch", "ByteStorage", kind::storage_class, dtype::u8},
    {"torch", "BoolStorage", kind::storage_class, dtype::boolean},
};

}  // namespace

const char* to_string(kind k) {
  constexpr const char* names[] = {"None",
                                   "a boolean",
                                   "an integer",
                                   "a real number",
                                   "text",
                                   "a tuple",
                                   "a list",
                                   "a dictionary",
                                   "the function _rebuild_tensor_v2",
                                   "the function _rebuild_parameter",
                                   "the class OrderedDict",
                                   "a storage class",
                                   "a storage",
                                   "a tensor"};
  return names[static_cast<size_t>(k)];
}

const global* find_global(std::string_view module, std::string_view name) {
  const auto* found = std::find_if(std::begin(known_globals), std::end(known_globals),
                                   [&](const global& known) { return known.module == module && known.name == name; });
  return found == std::end(known_globals) ? nullptr : found;
}

}  // namespace troupe::io::pickle
