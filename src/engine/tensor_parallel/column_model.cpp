#include "engine/tensor_parallel/column_model.hpp"

#include "base/round_up.hpp"
#include "kernels/matrix.hpp"
#include "kernels/rows.hpp"

#include <algorithm>
#include <memory>

namespace troupe::engine {

using kernels::panel_width;

std::vector<row_range> rows_of(const model_description& whole, const model_share& share, const parameter& of_whole) {
  switch (of_whole.role.rows) {
  case row_axis::heads: {
    const int64_t k = whole.head_width;
    const int64_t keys = whole.heads * k;
    const int64_t values = keys + whole.kv_heads * k;
    const auto& [first, last] = share.kv_heads;
    return {{share.heads.first * k, share.heads.last * k},
            {keys + first * k, keys + last * k},
            {values + first * k, values + last * k}};
  }
  case row_axis::gate_up_units: {
    const int64_t up = whole.feed_forward;
    return {share.units, {up + share.units.first, up + share.units.last}};
  }
  case row_axis::units:
    return {share.units};
  case row_axis::columns:
    return {share.columns};
  case row_axis::tokens:
    return {share.tokens};
  case row_axis::undivided:
    break;
  }
  return {{0, of_whole.shape[0]}};
}

namespace {

/// Row r of the rank's parameter is row source[r] of the whole one.
std::vector<int64_t> sources_of(const std::vector<row_range>& ranges) {
  std::vector<int64_t> source;
  for (const row_range& range : ranges) {
    for (int64_t row = range.first; row < range.last; ++row) {
      source.push_back(row);
    }
  }
  return source;
}

/// Fills panel `panel` of the rank's matrix: neighbours in the panel that are neighbours in a panel of the whole one go
/// together.
template <class Real>
void copy_panel(const Real* whole, std::span<const int64_t> source, int64_t inputs, int64_t panel, Real* to) {
  const int64_t end = std::min<int64_t>(static_cast<int64_t>(source.size()), (panel + 1) * panel_width);
  for (int64_t row = panel * panel_width; row < end;) {
    const int64_t first = source[static_cast<size_t>(row)];
    int64_t count = 1;
    while (row + count < end && source[static_cast<size_t>(row + count)] == first + count &&
           (first + count) % panel_width != 0) {
      ++count;
    }
    const Real* from = whole + first / panel_width * panel_width * inputs + first % panel_width;
    Real* at = to + panel * panel_width * inputs + row % panel_width;
    for (int64_t i = 0; i < inputs; ++i) {
      std::copy_n(from + i * panel_width, count, at + i * panel_width);
    }
    row += count;
  }
}

/// On a card a matrix stands row after row.
void copy_on_card(context& ctx, const parameter& from, const_reals whole, const std::vector<row_range>& ranges,
                  reals to) {
  const int64_t inputs = from.is_matrix() ? from.shape[1] : 1;
  for (const row_range& range : ranges) {
    kernels::copy_rows(ctx, {.to = to,
                             .from = whole + range.first * inputs,
                             .n = from.is_matrix() ? range.size() : 1,
                             .width = from.is_matrix() ? inputs : range.size()});
    to = to + range.size() * inputs;
  }
}

template <class Real>
void copy_parameter(context& ctx, const parameter& from, const Real* whole, std::span<const int64_t> source, Real* to) {
  if (!from.is_matrix()) {
    std::transform(source.begin(), source.end(), to, [&](int64_t row) { return whole[row]; });
    return;
  }
  const int64_t panels = divide_up(static_cast<int64_t>(source.size()), panel_width);
  ctx.pool.parallel_for(panels, [&](int64_t panel) { copy_panel(whole, source, from.shape[1], panel, to); });
}

}  // namespace

column_model::column_model(const inference_model& whole, const communicator_ptr& group, dtype type,
                           const arena_place& at)
    : whole_(whole), split_(split_columns(whole.description(), group->rank(), group->size())),
      net_(group->size() > 1
               ? inference_model(whole.description(), split_, std::make_unique<column_exchange>(group, split_))
               : inference_model(whole.description())),
      arena_(net_.layout().arena_size(), type, at) {}

void column_model::copy(context& ctx, const_reals whole_weights, size_t index) {
  const parameter& from = whole_.layout().all()[index];
  const parameter& to = net_.layout().all()[index];
  const std::vector<row_range> ranges = rows_of(whole_.description(), split_, from);
  const const_reals first = whole_weights + from.offset;
  const reals target = arena_.data() + to.offset;
  if (arena_.on() != nullptr) {
    copy_on_card(ctx, from, first, ranges, target);
    return;
  }
  const std::vector<int64_t> source = sources_of(ranges);
  if (arena_.type() == dtype::bf16) {
    copy_parameter(ctx, from, first.as<bf16>(), source, target.as<bf16>());
  } else {
    copy_parameter(ctx, from, first.as<float>(), source, target.as<float>());
  }
}

void column_model::fill(context& ctx, const_reals whole_weights, weight_access* access) {
  const std::vector<arena_range> segments = whole_.segments();
  const auto count = static_cast<int64_t>(segments.size());
  arena_.take(0, arena_.size());
  if (access != nullptr) {
    access->prefetch(0);
  }
  size_t index = 0;
  for (int64_t s = 0; s < count; ++s) {
    if (access != nullptr && s + 1 < count) {
      access->prefetch(s + 1);
    }
    if (access != nullptr) {
      access->acquire(ctx, s);
    }
    const std::span<const parameter> all = whole_.layout().all();
    for (; index < all.size() && all[index].offset < segments[static_cast<size_t>(s)].last; ++index) {
      copy(ctx, whole_weights, index);
    }
    if (access != nullptr) {
      access->release(s);
    }
  }
}

}  // namespace troupe::engine
