/// Plain loops: a row of the table is a column of a panel, so its values lie 128 bytes apart and
/// vectors gain nothing.
#include "kernels/cpu/embedding.hpp"

#include "base/round_up.hpp"
#include "kernels/matrix.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

namespace troupe::kernels::cpu {

static int64_t column_offset(int64_t row, int64_t d) { return row / panel_width * d * panel_width + row % panel_width; }

template <class Real> static void look_up(context& ctx, const embedding_args& args) {
  constexpr int64_t rows_in_task = 16;
  const Real* table = args.table.as<Real>();
  ctx.pool.parallel_for(divide_up(args.n, rows_in_task), [&](int64_t task) {
    const int64_t end = std::min((task + 1) * rows_in_task, args.n);
    for (int64_t row = task * rows_in_task; row < end; ++row) {
      const Real* column = table + column_offset(args.index_N[row], args.d);
      float* y = args.y_ND + row * args.d;
      for (int64_t i = 0; i < args.d; ++i) {
        const float value = to_float(column[i * panel_width]);
        y[i] = args.accumulate ? y[i] + value : value;
      }
    }
  });
}

void embedding_forward(context& ctx, const embedding_args& args) {
  args.table.type() == dtype::bf16 ? look_up<bf16>(ctx, args) : look_up<float>(ctx, args);
}

void embedding_backward(context& ctx, const embedding_backward_args& args) {
  // Rows of dy that share a panel go to one task, each index's in rising order: no two tasks meet
  // in a cache line.
  std::vector<int64_t> order(static_cast<size_t>(args.n));
  std::iota(order.begin(), order.end(), int64_t{0});
  const auto panel_of = [&](int64_t row) { return args.index_N[row] / panel_width; };
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return panel_of(a) < panel_of(b); });
  std::vector<size_t> first;  // of each panel's rows in `order`, and the end
  for (size_t i = 0; i < order.size(); ++i) {
    if (i == 0 || panel_of(order[i]) != panel_of(order[i - 1])) {
      first.push_back(i);
    }
  }
  first.push_back(order.size());
  ctx.pool.parallel_for(static_cast<int64_t>(first.size()) - 1, [&](int64_t group) {
    const auto g = static_cast<size_t>(group);
    for (size_t i = first[g]; i < first[g + 1]; ++i) {
      const int64_t row = order[i];
      float* column = args.dtable + column_offset(args.index_N[row], args.d);
      const float* dy = args.dy_ND + row * args.d;
      for (int64_t k = 0; k < args.d; ++k) {
        column[k * panel_width] += dy[k];
      }
    }
  });
}

}  // namespace troupe::kernels::cpu
