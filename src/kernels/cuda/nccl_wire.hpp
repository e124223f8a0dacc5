/// Wires of NCCL, which is loaded when it is first asked for: where it is not, the module works without.
#pragma once

#include "base/device.hpp"

#include <cuda_runtime_api.h>

#include <chrono>
#include <memory>
#include <string>

namespace troupe::kernels::cuda {

/// "NCCL 2.28.9"; empty: there is none that can be used, `why_none` tells why.
std::string nccl_version(std::string& why_none);

/// Errors  unsupported: there is no NCCL; device_failure.
wire_id new_nccl_id();

/// A wire of the card that has this number, whose work goes to `queue`.
/// Errors  those of device::join.
std::unique_ptr<wire> join_nccl(int card, cudaStream_t queue, const wire_id& id, int rank, int ranks,
                                const std::string& name, std::chrono::milliseconds deadline);

}  // namespace troupe::kernels::cuda
