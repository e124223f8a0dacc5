#include "kernels/attention.hpp"

#include "base/device.hpp"
#include "base/error.hpp"
#include "base/round_up.hpp"
#include "kernels/cpu/attention.hpp"
#include "kernels/device_ops.hpp"

namespace troupe::kernels {

static void check(const context& ctx, const attention_shape& shape) {
  if (shape.heads < 1 || shape.kv_heads < 1 || shape.head_width < 1) {
    throw error(errc::shape_mismatch, "attention: {} heads, {} key/value heads of width {}", shape.heads,
                shape.kv_heads, shape.head_width);
  }
  if (shape.heads % shape.kv_heads != 0) {
    throw error(errc::shape_mismatch, "attention: {} heads cannot be shared out among {} key/value heads", shape.heads,
                shape.kv_heads);
  }
  constexpr int64_t widest_on_card = 256;
  if (ctx.on != nullptr && shape.head_width > widest_on_card) {
    throw error(errc::unsupported, "attention: heads {} wide; on a card they are {} wide at most: compute on the CPU",
                shape.head_width, widest_on_card);
  }
}

static void check(const context& ctx, std::span<const int64_t> offset_B1) {
  if (offset_B1.empty()) {
    throw error(errc::shape_mismatch, "attention: offset_B1 is empty; it needs B + 1 entries");
  }
  for (size_t b = 0; b + 1 < offset_B1.size() && ctx.on == nullptr; ++b) {
    if (offset_B1[b] < 0 || offset_B1[b + 1] < offset_B1[b]) {
      throw error(errc::bad_argument, "attention: sequence {} spans rows [{}, {})", b, offset_B1[b], offset_B1[b + 1]);
    }
  }
}

static void check(const page_map& where, int64_t s) {
  const int64_t begin = where.row_S1[s], rows = where.row_S1[s + 1] - begin, position = where.position_S[s];
  if (begin < 0 || rows < 0 || position < 0) {
    throw error(errc::bad_argument, "paged attention: sequence {} has {} rows from {} at position {}", s, rows, begin,
                position);
  }
  const int64_t pages = divide_up(position + rows, attention_tile);
  if (pages > where.stride) {
    throw error(errc::shape_mismatch, "paged attention: sequence {} has {} pages of {} for {} positions", s,
                where.stride, attention_tile, position + rows);
  }
  for (int64_t p = 0; p < pages; ++p) {
    if (where.page_SP[s * where.stride + p] < 0) {
      throw error(errc::bad_argument, "paged attention: sequence {} names page {}", s,
                  where.page_SP[s * where.stride + p]);
    }
  }
}

void attention_forward(context& ctx, const attention_args& args) {
  check(ctx, args.shape);
  check(ctx, args.offset_B1);
  ctx.on != nullptr ? ctx.on->ops().attention_forward(ctx, args) : cpu::attention_forward(ctx, args);
}

void attention_backward(context& ctx, const attention_backward_args& args) {
  check(ctx, args.shape);
  check(ctx, args.offset_B1);
  if (args.lse_NH == nullptr && (ctx.on != nullptr || args.offset_B1.back() > args.offset_B1.front())) {
    throw error(errc::bad_argument, "attention_backward: lse_NH is missing; save it in forward");
  }
  ctx.on != nullptr ? ctx.on->ops().attention_backward(ctx, args) : cpu::attention_backward(ctx, args);
}

void paged_attention_forward(context& ctx, const paged_attention_args& args) {
  check(ctx, args.shape);
  for (int64_t s = 0; s < args.where.sequences && ctx.on == nullptr; ++s) {
    check(args.where, s);
  }
  ctx.on != nullptr ? ctx.on->ops().paged_attention_forward(ctx, args) : cpu::paged_attention_forward(ctx, args);
}

}  // namespace troupe::kernels
