// What the CUDA module exports.
#include "kernels/cuda/card.hpp"
#include "kernels/cuda/nccl_wire.hpp"
#include "kernels/device_module.hpp"

#include <fmt/format.h>

#include <cstdlib>

namespace troupe::kernels::cuda {

namespace {

int count(std::string& why_none) {
  int cards = 0;
  const cudaError_t result = cudaGetDeviceCount(&cards);
  if (result == cudaSuccess && cards > 0) {
    return cards;
  }
  why_none = result == cudaSuccess ? "no card" : cudaGetErrorString(result);
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES")) {
    why_none += fmt::format(" (CUDA_VISIBLE_DEVICES is \"{}\")", visible);
  }
  return 0;
}

std::unique_ptr<device> open(int index) { return std::make_unique<card>(index); }

}  // namespace

}  // namespace troupe::kernels::cuda

extern "C" __attribute__((visibility("default"))) const troupe::kernels::device_module* troupe_device_module() {
  namespace cuda = troupe::kernels::cuda;
  static const troupe::kernels::device_module face{.abi = troupe::kernels::device_module_abi(),
                                                   .count = cuda::count,
                                                   .facts = cuda::facts_of,
                                                   .open = cuda::open,
                                                   .wires = cuda::nccl_version};
  return &face;
}
