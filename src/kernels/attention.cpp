#include "kernels/attention.hpp"

#include "base/error.hpp"
#include "base/round_up.hpp"
#include "kernels/cpu/attention.hpp"

namespace troupe::kernels {

static void check(const attention_shape& shape) {
  if (shape.heads < 1 || shape.kv_heads < 1 || shape.head_width < 1) {
    throw error(errc::shape_mismatch, "attention: {} heads, {} key/value heads of width {}", shape.heads,
                shape.kv_heads, shape.head_width);
  }
  if (shape.heads % shape.kv_heads != 0) {
    throw error(errc::shape_mismatch, "attention: {} heads cannot be shared out among {} key/value heads", shape.heads,
                shape.kv_heads);
  }
}

static void check(std::span<const int64_t> offset_B1) {
  if (offset_B1.empty()) {
    throw error(errc::shape_mismatch, "attention: offset_B1 is empty; it needs B + 1 entries");
  }
  for (size_t b = 0; b + 1 < offset_B1.size(); ++b) {
    if (offset_B1[b] < 0 || offset_B1[b + 1] < offset_B1[b]) {
      throw error(errc::bad_argument, "attention: sequence {} spans rows [{}, {})", b, offset_B1[b], offset_B1[b + 1]);
    }
  }
}

static void check(const paged_sequence& sequence, size_t index) {
  if (sequence.rows < 0 || sequence.first_row < 0 || sequence.first_position < 0) {
    throw error(errc::bad_argument, "paged attention: sequence {} has {} rows from {} at position {}", index,
                sequence.rows, sequence.first_row, sequence.first_position);
  }
  const int64_t end = sequence.first_position + sequence.rows;
  const auto pages = static_cast<int64_t>(sequence.page_table.size());
  if (pages < divide_up(end, attention_tile)) {
    throw error(errc::shape_mismatch, "paged attention: sequence {} has {} pages of {} for {} positions", index, pages,
                attention_tile, end);
  }
  for (const int32_t page : sequence.page_table) {
    if (page < 0) {
      throw error(errc::bad_argument, "paged attention: sequence {} names page {}", index, page);
    }
  }
}

void attention_forward(context& ctx, const attention_args& args) {
  check(args.shape);
  check(args.offset_B1);
  cpu::attention_forward(ctx, args);
}

void attention_backward(context& ctx, const attention_backward_args& args) {
  check(args.shape);
  check(args.offset_B1);
  if (args.lse_NH == nullptr && args.offset_B1.back() > args.offset_B1.front()) {
    throw error(errc::bad_argument, "attention_backward: lse_NH is missing; save it in forward");
  }
  cpu::attention_backward(ctx, args);
}

void paged_attention_forward(context& ctx, const paged_attention_args& args) {
  check(args.shape);
  for (size_t s = 0; s < args.sequences.size(); ++s) {
    check(args.sequences[s], s);
  }
  cpu::paged_attention_forward(ctx, args);
}

}  // namespace troupe::kernels
