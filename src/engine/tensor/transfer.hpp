/// Copies between host memory and where a call computes.
#pragma once

#include "base/context.hpp"
#include "base/reals.hpp"

#include <cstdint>
#include <span>

namespace troupe::engine {

/// `from` is host memory, and may be used again on return; `to` is where `ctx` computes.
/// Errors  device_failure.
void send(context& ctx, void* to, const void* from, int64_t bytes);

/// `to` is host memory; `from` is where `ctx` computes, and what was called before has written it.
/// Errors  device_failure.
void fetch(context& ctx, void* to, const void* from, int64_t bytes);

/// The same of reals, which are float32 in host memory; in bfloat16 the nearest.
void send(context& ctx, std::span<const float> from, reals to);
void fetch(context& ctx, const_reals from, std::span<float> to);

/// Returns when what was called before is done, where `ctx` computes.
/// Errors  device_failure.
void settle(context& ctx);

template <class T> void fetch(context& ctx, std::span<T> to, const void* from) {
  fetch(ctx, to.data(), from, static_cast<int64_t>(to.size_bytes()));
}

}  // namespace troupe::engine
