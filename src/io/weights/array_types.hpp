/// Changing the element type of host arrays.
#pragma once

#include "base/host_array.hpp"

#include <string_view>

namespace troupe::io {

/// `array` as `type`, one of f32, f16, bf16 (round to nearest even); itself where it is that
/// already. Integers and booleans cannot change.
/// Errors  unsupported.
host_array convert_array(const host_array& array, dtype type);

bool is_floating(dtype type);

/// The name PyTorch and config.json's torch_dtype use: "float32", "bfloat16", ...
const char* torch_type_name(dtype type);

/// "f32", "bf16", "f16" as options spell them.
/// Errors  bad_argument.
dtype parse_float_type(std::string_view name);

}  // namespace troupe::io
