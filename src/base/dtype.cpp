#include "base/dtype.hpp"

namespace troupe {

const char* to_string(dtype type) {
  switch (type) {
  case dtype::f32:
    return "f32";
  case dtype::f16:
    return "f16";
  case dtype::bf16:
    return "bf16";
  case dtype::f64:
    return "f64";
  case dtype::i64:
    return "i64";
  case dtype::i32:
    return "i32";
  case dtype::i16:
    return "i16";
  case dtype::i8:
    return "i8";
  case dtype::u64:
    return "u64";
  case dtype::u32:
    return "u32";
  case dtype::u16:
    return "u16";
  case dtype::u8:
    return "u8";
  case dtype::boolean:
    return "bool";
  }
  return "unknown";
}

}  // namespace troupe
