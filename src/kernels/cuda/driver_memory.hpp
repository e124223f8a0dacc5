/// Pages as the driver of a card gives them.
#pragma once

#include "kernels/cuda/page_ranges.hpp"

#include <memory>

namespace troupe::kernels::cuda {

/// Null where the driver or the card cannot give a range of addresses other pages; `card` has been chosen.
std::unique_ptr<page_source> driver_memory(int card);

/// In its place: each range has its memory from `reserve` on, exactly as many bytes as it was asked for, and keeps it
/// until it is given back. What has been unmapped counts as free, though only its own range can have it again.
std::unique_ptr<page_source> whole_ranges();

}  // namespace troupe::kernels::cuda
