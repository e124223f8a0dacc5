/// What a kernel may use besides its arguments.
#pragma once

#include "base/thread_pool.hpp"

namespace troupe {

/// Passed by reference to every kernel and engine function; owns nothing. A CUDA device will add its stream here.
struct context {
  thread_pool& pool;
};

}  // namespace troupe
