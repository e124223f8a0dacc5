#include "kernels/instruction_sets.hpp"

#include <hwy/targets.h>

#include <cstdint>

namespace troupe::kernels {

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    names.emplace_back(hwy::TargetName(target));
  }
  return names;
}

}  // namespace troupe::kernels
