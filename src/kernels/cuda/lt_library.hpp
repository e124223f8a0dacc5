/// cuBLASLt. What it is asked for: no memory of its own, no reduction over parts of the inner dimension, float32 sums.
#pragma once

#include "kernels/cuda/product_library.hpp"

#include <memory>

namespace troupe::kernels::cuda {

/// Of the card that this thread has chosen.
/// Errors  device_failure.
std::unique_ptr<product_library> open_cublaslt();

}  // namespace troupe::kernels::cuda
