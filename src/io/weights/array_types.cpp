#include "io/weights/array_types.hpp"

#include "base/error.hpp"

#include <cmath>
#include <cstring>

namespace troupe::io {
namespace {

/// Numbers at least this large round to infinity.
double first_too_large(dtype type) {
  constexpr double f16_limit = 65520;
  constexpr double bf16_limit = 0x1.FFp127;
  constexpr double f32_limit = 0x1.FFFFFFp127;
  return type == dtype::f16 ? f16_limit : type == dtype::bf16 ? bf16_limit : f32_limit;
}

template <class Number> void require_fit(const host_array& array, std::span<const Number> values, dtype type) {
  const double limit = first_too_large(type);
  for (size_t i = 0; i < values.size(); ++i) {
    const auto value = static_cast<double>(values[i]);
    if (std::isfinite(value) && std::abs(value) >= limit) {
      throw error(errc::bad_argument, "tensor {}: value {} of {} is {}, which {} cannot hold: choose {}", array.name, i,
                  values.size(), value, to_string(type), type == dtype::f16 ? "bf16 or f32" : "a wider type");
    }
  }
}

/// As float32, each value within `type`.
std::vector<float> fitting_values(const host_array& array, dtype type) {
  if (array.type == dtype::f64) {
    std::vector<double> wide(static_cast<size_t>(array.elements()));
    std::memcpy(wide.data(), array.bytes.data(), array.bytes.size());
    require_fit<double>(array, wide, type);
  }
  std::vector<float> values = to_float32(array);
  require_fit<float>(array, values, type);
  return values;
}

host_array narrow(const host_array& array, dtype type, uint16_t (*round)(float)) {
  const std::vector<float> values = fitting_values(array, type);
  auto storage = std::make_shared<std::vector<uint16_t>>(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    (*storage)[i] = round(values[i]);
  }
  return {.name = array.name,
          .type = type,
          .shape = array.shape,
          .bytes = std::as_bytes(std::span(*storage)),
          .owner = storage};
}

}  // namespace

bool is_floating(dtype type) {
  return type == dtype::f32 || type == dtype::f16 || type == dtype::bf16 || type == dtype::f64;
}

host_array convert_array(const host_array& array, dtype type) {
  if (array.type == type) {
    return array;
  }
  if (is_floating(array.type)) {
    switch (type) {
    case dtype::f32:
      return make_host_array(array.name, array.shape, fitting_values(array, type));
    case dtype::f16:
      return narrow(array, type, float_to_half);
    case dtype::bf16:
      return narrow(array, type, [](float value) { return to_bf16(value).bits; });
    default:
      break;
    }
  }
  throw error(errc::unsupported, "tensor {} is {}, which cannot become {}", array.name, to_string(array.type),
              to_string(type));
}

const char* torch_type_name(dtype type) {
  constexpr const char* names[] = {"float32", "float16", "bfloat16", "float64", "int64", "int32", "int16",
                                   "int8",    "uint64",  "uint32",   "uint16",  "uint8", "bool"};
  return names[static_cast<size_t>(type)];
}

dtype parse_float_type(std::string_view name) {
  for (const dtype type : {dtype::f32, dtype::f16, dtype::bf16}) {
    if (name == to_string(type)) {
      return type;
    }
  }
  throw error(errc::bad_argument, "\"{}\" is no type of weights: f32, bf16 or f16", name);
}

}  // namespace troupe::io
