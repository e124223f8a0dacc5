/// Kernels that are wrong, each in one way (planted_bugs.cu).
#pragma once

#include "kernels/cuda/card_work.hpp"

namespace troupe::kernels::cuda {

/// Where the last kernel did what none may; 0: not at one line.
extern int bug_line;

// Each runs one block of 64 threads and writes y_64 [64].

void no_barrier(stream_t stream, float* y_64);
void barrier_in_a_branch(stream_t stream, float* y_64);
void two_barriers(stream_t stream, float* y_64);
void shuffle_in_a_branch(stream_t stream, float* y_64);
void copy_not_waited_for(stream_t stream, float* y_64, const float* x_64);
void write_past_global_memory(stream_t stream, float* y_64);
void write_past_shared_memory(stream_t stream, float* y_64);

}  // namespace troupe::kernels::cuda
