/// The arithmetic of a GPU's matrix units, bit by bit.
#pragma once

#include <cstdint>

namespace troupe::emulation {

/// c + sum over 16 products a_i b_i of bfloat16 values, as `mma.sync.m16n8k16` computes one element on sm_90: all 17
/// terms are shifted to the largest exponent among them, cut to 25 bits behind the point, added, and the sum is cut to
/// float32. (sm_80 takes two halves of 8 products and 24 bits: not emulated.)
/// Source  microsoft/MMA-Sim, which its authors hold against the hardware bit by bit.
float dot_16(const uint16_t* a, const uint16_t* b, float c);

}  // namespace troupe::emulation
