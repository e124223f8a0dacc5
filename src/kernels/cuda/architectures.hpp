/// For which cards a module has machine code.
#pragma once

#include <span>
#include <string>

namespace troupe::kernels::cuda {

/// Machine code is for an architecture, as 80 (8.0), and runs on cards of its first digit from that on: code for 80
/// on 8.6, not on 9.0. None for later ones is made on the way.
bool has_code_for(std::span<const int> architectures, int major, int minor);

/// Why a card cannot be used: "NVIDIA T4 is of 7.5, and this module has code for 8.0 and above, 9.0 and above: ..."
std::string no_code_text(std::span<const int> architectures, const std::string& card, int major, int minor);

}  // namespace troupe::kernels::cuda
