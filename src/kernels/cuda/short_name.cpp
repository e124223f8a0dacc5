#include "kernels/cuda/short_name.hpp"

#include <cstddef>

namespace troupe::kernels::cuda {

std::string short_function_name(std::string_view demangled) {
  size_t begin = 0;
  size_t end = 0;
  int depth = 0;
  for (; end < demangled.size(); ++end) {
    if (demangled.substr(end).starts_with("(anonymous namespace)")) {
      continue;
    }
    const char c = demangled[end];
    if (depth == 0 && c == '(') {
      break;
    }
    depth += c == '<' ? 1 : (c == '>' ? -1 : 0);
    if (depth == 0 && (c == ' ' || c == ':')) {
      begin = end + 1;
    }
  }
  return std::string(demangled.substr(begin, end - begin));
}

}  // namespace troupe::kernels::cuda
