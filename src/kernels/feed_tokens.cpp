#include "kernels/feed_tokens.hpp"

#include "base/device.hpp"
#include "base/error.hpp"
#include "kernels/device_ops.hpp"

#include <algorithm>

namespace troupe::kernels {

void feed_tokens(context& ctx, const feed_tokens_args& args) {
  if (args.n < 0) {
    throw error(errc::shape_mismatch, "feed_tokens: {} rows", args.n);
  }
  if (args.n == 0) {
    return;
  }
  if (ctx.on != nullptr) {
    return ctx.on->ops().feed_tokens(ctx, args);
  }
  for (int64_t n = 0; n < args.n; ++n) {
    const int32_t source = args.source_N[n];
    const int32_t token = source < 0 ? args.given_N[n] : std::max(0, args.drawn_M[source].token);
    args.token_N[n] = token;
    if (args.context_at_N[n] >= 0) {
      args.context[args.context_at_N[n]] = token;
    }
  }
}

}  // namespace troupe::kernels
