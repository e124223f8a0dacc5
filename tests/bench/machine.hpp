/// What the machine can do at most, measured once per process with all threads of the pool: the
/// floor that a benchmark's time is compared with.
#pragma once

#include "base/thread_pool.hpp"

namespace troupe::bench {

/// The pool of every benchmark: one thread per available core.
thread_pool& pool();

/// Fused multiply-adds on registers, two operations each, at the widest vectors that kernels use.
double peak_flops_per_s();

/// Reading 256 MiB that no cache holds.
double read_bytes_per_s();

}  // namespace troupe::bench
