#include "engine/arena/card_arena.hpp"

#include "engine/tensor/transfer.hpp"
#include "kernels/rows.hpp"

#include <functional>
#include <numeric>
#include <vector>

namespace troupe::engine {

void send_arena(context& ctx, const parameter_layout& layout, const_reals host, reals on_card) {
  kernels::zero(ctx, on_card, layout.arena_size());  // gaps, and the rows that fill a matrix' last unit
  for (const parameter& p : layout.all()) {
    send(ctx, read_parameter(p, host), on_card + p.offset);
  }
}

void fetch_arena(context& ctx, const parameter_layout& layout, const_reals on_card, float* host) {
  for (const parameter& p : layout.all()) {
    const int64_t count = std::accumulate(p.shape.begin(), p.shape.end(), int64_t{1}, std::multiplies());
    std::vector<float> rows(static_cast<size_t>(count));
    fetch(ctx, on_card + p.offset, rows);
    write_parameter(p, rows, host);
  }
}

}  // namespace troupe::engine
