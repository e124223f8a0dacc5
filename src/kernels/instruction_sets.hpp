/// What kernels were compiled for.
#pragma once

#include <string>
#include <vector>

namespace troupe::kernels {

/// The names of the instruction sets that kernels have code for and this CPU has; the best first, which they run with.
std::vector<std::string> instruction_sets();

}  // namespace troupe::kernels
