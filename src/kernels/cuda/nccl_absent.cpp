// Where the module is built without nccl.h.
#include "base/error.hpp"
#include "kernels/cuda/nccl_wire.hpp"

namespace troupe::kernels::cuda {

constexpr const char* absent = "the module for cards was built without NCCL, since nccl.h was not there";

std::string nccl_version(std::string& why_none) {
  why_none = absent;
  return "";
}

wire_id new_nccl_id() { throw error(errc::unsupported, absent); }

std::unique_ptr<wire> join_nccl(int, cudaStream_t, const wire_id&, int, int, const std::string&,
                                std::chrono::milliseconds) {
  throw error(errc::unsupported, absent);
}

}  // namespace troupe::kernels::cuda
