/// What a kernel may use besides its arguments.
#pragma once

#include "base/thread_pool.hpp"

namespace troupe {

class device;

/// Passed by reference to every kernel and engine function; owns nothing.
struct context {
  thread_pool& pool;  ///< the host's threads
  device* on =
      nullptr;  ///< null: arrays are in host memory and kernels run on `pool`; else arrays and kernels are there
};

}  // namespace troupe
