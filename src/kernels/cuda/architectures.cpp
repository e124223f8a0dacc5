#include "kernels/cuda/architectures.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace troupe::kernels::cuda {

bool has_code_for(std::span<const int> architectures, int major, int minor) {
  return std::any_of(architectures.begin(), architectures.end(),
                     [&](int code) { return code / 10 == major && code % 10 <= minor; });
}

std::string no_code_text(std::span<const int> architectures, const std::string& card, int major, int minor) {
  std::string known;
  for (const int code : architectures) {
    known += fmt::format("{}{}.{}", known.empty() ? "" : " and ", code / 10, code % 10);
  }
  return fmt::format("{} is of architecture {}.{}, and this module has code for {}: build it with "
                     "-DCMAKE_CUDA_ARCHITECTURES={}{}-real",
                     card, major, minor, known, major, minor);
}

}  // namespace troupe::kernels::cuda
