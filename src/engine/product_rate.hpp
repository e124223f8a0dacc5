/// How fast this machine multiplies matrices.
#pragma once

#include "base/thread_pool.hpp"

namespace troupe::engine {

/// Operations per second of a product as large as those of a layer, on all threads of the pool: the fastest of a
/// quarter of a second of them, since others may be at work here too.
double product_rate(thread_pool& pool);

}  // namespace troupe::engine
