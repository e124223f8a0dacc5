/// Copies between host memory and where a call computes.
#pragma once

#include "base/context.hpp"
#include "base/reals.hpp"

#include <chrono>
#include <cstdint>
#include <span>

namespace troupe::engine {

/// Longer than any work that a card is given at a time.
inline constexpr std::chrono::minutes transfer_patience{10};

/// `from` is host memory, and may be used again on return; `to` is where `ctx` computes.
/// Errors  device_failure.
void send(context& ctx, void* to, const void* from, int64_t bytes);

/// `to` is host memory; `from` is where `ctx` computes, and what was called before has written it.
/// Errors  device_failure.
void fetch(context& ctx, void* to, const void* from, int64_t bytes);

/// The same of reals, which are float32 in host memory; in bfloat16 the nearest.
void send(context& ctx, std::span<const float> from, reals to);
void fetch(context& ctx, const_reals from, std::span<float> to);

template <class T> void fetch(context& ctx, std::span<T> to, const void* from) {
  fetch(ctx, to.data(), from, static_cast<int64_t>(to.size_bytes()));
}

}  // namespace troupe::engine
