/// What kernels need of the card that `context.on` stands for. The CUDA module's card implements it, and so does the
/// card that the tests emulate (tests/support/emulation/emulated_card.hpp).
#pragma once

#include "base/context.hpp"

#include <cstddef>
#include <cstdint>

struct CUstream_st;

namespace troupe::kernels::cuda {

using stream_t = CUstream_st*;  ///< cudaStream_t, without its header

/// Shared memory that a block can have on a card of architecture 8.0; on one of 9.0 it is more.
inline constexpr size_t most_shared_bytes = size_t{163} * 1024;

/// The stream of the compute queue.
stream_t compute_stream(context& ctx);

/// Memory of the card for one operation, of the compute queue: the next operation may overwrite it. Aligned to 256
/// bytes; the contents are undefined. Each call in an operation gives the same address: ask once, for all.
/// Errors  out_of_memory.
std::byte* scratch(context& ctx, int64_t bytes);

/// Copies to the host what the compute queue has written, and waits for it.
/// Errors  device_failure.
void read_back(context& ctx, void* to, const void* from, int64_t bytes);

}  // namespace troupe::kernels::cuda
