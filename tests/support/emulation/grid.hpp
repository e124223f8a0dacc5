/// CUDA's execution model on the host: blocks in turn, a block's threads as fibers that switch only where threads of a
/// GPU wait for each other. It finds what a GPU does not tell:
///
///   a barrier that not all threads of a block come to, or that they come to at different lines
///   a warp operation that not all lanes take part in, or at different lines
///   results that depend on the order of threads, by running them in several
///   shared memory that is read before it is written, and an asynchronous copy that is read before it was
///     waited for: both are NaN
///   under AddressSanitizer, what lies past shared memory
///
/// It does not show weak memory order, blocks that run at the same time, bank conflicts, or speed.
#pragma once

#include "support/emulation/matrix_unit.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <type_traits>

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace troupe::emulation {

/// A kernel does what no kernel may. Its text names the thread, and the line where there is one.
class failure : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

/// In which order threads run between two waits: a result that depends on it is a race.
enum class thread_order { rising, falling, shuffled };

struct settings {
  thread_order order = thread_order::rising;
  uint64_t seed = 1;  ///< of shuffled
  matrix_unit unit = matrix_unit::hopper;
};

struct launch_shape {
  dim3 grid, block;
  size_t dynamic_shared_bytes = 0;
};

/// Runs `thread` once for each thread of each block.
/// Errors  failure.
void run_grid(const launch_shape& shape, const settings& how, const std::function<void()>& thread);

/// What this host thread has run so far.
struct counters {
  uint64_t kernels = 0, blocks = 0, threads = 0, switches = 0, barriers = 0, warp_operations = 0;
};
counters& counted();

/// Where the running thread of the card stands.
struct thread_view {
  dim3 thread, block, block_size, grid_size;
  int lane = 0, warp = 0;
  matrix_unit unit = matrix_unit::hopper;
};
extern constinit thread_local const thread_view* running;

/// A line of a kernel.
struct place {
  const char* file;
  int line;
};

// What the running thread calls; each throws `failure`.

void barrier(place at);

inline constexpr size_t deposit_bytes = 32;  ///< the most that a lane gives
inline constexpr unsigned whole_warp = 0xFFFFFFFFU;

/// Leaves `bytes` of this lane, and returns the deposits of all 32 lanes once they are there: lane i's at i * bytes.
/// They stay until the warp's next exchange but one.
const void* exchange(unsigned mask, const void* mine, size_t bytes, const char* operation, place at);

template <class T> const T* exchange(unsigned mask, const T& mine, const char* operation, place at) {
  static_assert(sizeof(T) <= deposit_bytes && std::is_trivially_copyable_v<T>);
  return static_cast<const T*>(exchange(mask, &mine, sizeof(T), operation, at));
}

/// Memory of the block, the same for all that give the same `tag`: of exactly `bytes`, filled with NaN.
void* shared_memory(size_t bytes, size_t alignment, const void* tag);
/// The one piece whose size the launch gave.
void* dynamic_shared_memory(size_t bytes, size_t alignment);
/// Fails where [at, at + bytes) is not within the block's shared memory, or not aligned to `bytes`.
void require_shared(const void* at, size_t bytes, const char* operation, place where);

/// What is copied is there after wait_copies alone. Only the first `from_bytes` are read, the others become 0.
void copy_async(void* to, const void* from, size_t bytes, size_t from_bytes, place at);
void commit_copies();
void wait_copies(int groups_left);

}  // namespace troupe::emulation
