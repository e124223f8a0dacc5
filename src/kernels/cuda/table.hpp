/// The kernels of this folder as a table (kernels/device_ops.hpp).
#pragma once

#include "kernels/device_ops.hpp"

namespace troupe::kernels::cuda {

const device_ops& ops();

}  // namespace troupe::kernels::cuda
