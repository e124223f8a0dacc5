/// The arithmetic of a GPU's matrix units, bit by bit.
#pragma once

#include <cstdint>

namespace troupe::emulation {

enum class matrix_unit : uint8_t {
  ampere,  ///< architectures 8.x
  hopper,  ///< 9.0
};

/// c + sum over 16 products a_i b_i of bfloat16 values, as `mma.sync.m16n8k16` computes one element. Hopper: all 17
/// terms are shifted to the largest exponent among them, cut to 25 bits behind the point, added, and the sum is cut to
/// float32. Ampere: so the first 8 products and c, to 24 bits, and then the other 8 and what that gives. A zero has the
/// exponent of the smallest numbers.
/// Source  microsoft/MMA-Sim (arXiv 2511.10909), which its authors hold against the hardware bit by bit.
float dot_16(const uint16_t* a, const uint16_t* b, float c, matrix_unit unit = matrix_unit::hopper);

}  // namespace troupe::emulation
