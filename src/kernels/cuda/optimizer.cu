// The operations of cpu/optimizer.cpp in their order, each rounded once: the same bits, so that optimizers of both
// kinds can take turns with one model.
#include "base/device.hpp"
#include "kernels/adamw_factors.hpp"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/optimizer.hpp"
#include "kernels/matrix.hpp"

#include <algorithm>
#include <vector>

namespace troupe::kernels::cuda {

namespace {

struct adamw_operands {
  float* weight;
  bf16* compute;  ///< or null
  float* first;
  float* second;
  const float* gradient;
  int64_t count;
};

__global__ void adamw_kernel(adamw_operands args, adamw_factors f) {
  const int64_t i = element_index();
  if (i >= args.count) {
    return;
  }
  const float g = __fmul_rn(args.gradient[i], f.gradient_scale);
  const float m = __fmaf_rn(f.beta1, args.first[i], __fmul_rn(f.one_minus_beta1, g));
  const float v = __fmaf_rn(f.beta2, args.second[i], __fmul_rn(__fmul_rn(f.one_minus_beta2, g), g));
  const float root = __fmaf_rn(__fsqrt_rn(v), f.root_scale, f.epsilon);
  const float w = __fmaf_rn(f.keep, args.weight[i], -__fdiv_rn(__fmul_rn(f.step_size, m), root));
  args.first[i] = m;
  args.second[i] = v;
  args.weight[i] = w;
  if (args.compute != nullptr) {
    args.compute[i] = to_bf16(w);
  }
}

__global__ void average_kernel(float* average, const float* values, int64_t count, float decay, float rest) {
  const int64_t i = element_index();
  if (i < count) {
    average[i] = __fmaf_rn(rest, values[i], __fmul_rn(decay, average[i]));
  }
}

constexpr int64_t virtual_lanes = 16;  ///< of a sum, on either back end

/// The ranges whose squares are summed. Range p has the blocks [first_P1[p], first_P1[p + 1]).
struct square_ranges {
  const int64_t* offset_P1;
  const int64_t* first_P1;
  const int64_t* inputs_P;  ///< of units; or null
  int64_t parts;

  __device__ int64_t blocks() const { return first_P1[parts]; }
  /// That of a block.
  __device__ int64_t part_of(int64_t block) const {
    int64_t p = 0;
    for (int64_t end = parts; p + 1 < end;) {  // the last p with first_P1[p] <= block
      const int64_t middle = (p + end) / 2;
      first_P1[middle] <= block ? p = middle : end = middle;
    }
    return p;
  }
  __device__ int64_t inputs(int64_t p) const { return inputs_P != nullptr ? inputs_P[p] : 0; }
};

__device__ inline double with_square(double sum, float value) {
  const auto wide = static_cast<double>(value);
  return __fma_rn(wide, wide, sum);
}

/// The tree 8, 4, 2, 1 over each half of a warp.
__device__ inline double half_warp_sum(double value) {
  for (int lane_mask = virtual_lanes / 2; lane_mask > 0; lane_mask /= 2) {
    value = __dadd_rn(value, __shfl_xor_sync(all_lanes, value, lane_mask));
  }
  return value;
}

/// Half a warp sums one block of squares: lane i those of elements i, i + 16, ..., then the tree. Leaves units away.
__global__ void squares_kernel(double* sum, const float* values, square_ranges ranges) {
  const auto lane = static_cast<int64_t>(threadIdx.x) % virtual_lanes;
  const int64_t block = element_index() / virtual_lanes;
  double squares = 0.0;
  bool mine = block < ranges.blocks();
  if (mine) {
    const int64_t p = ranges.part_of(block);
    mine = ranges.inputs(p) == 0;
    const int64_t begin = ranges.offset_P1[p] + (block - ranges.first_P1[p]) * squares_block;
    const int64_t range_end = mine ? ranges.offset_P1[p + 1] : begin;
    const int64_t end = begin + squares_block < range_end ? begin + squares_block : range_end;
    for (int64_t i = begin + lane; i < end; i += virtual_lanes) {
      squares = with_square(squares, values[i]);
    }
  }
  squares = half_warp_sum(squares);
  if (lane == 0 && mine) {
    sum[block] = squares;
  }
}

constexpr int64_t unit_rows = panel_width;
constexpr int64_t block_inputs = squares_block / unit_rows;
constexpr int unit_threads = 128;  ///< of a block
constexpr int64_t unit_warps = unit_threads / 32;

/// 32 columns of a unit's rows, for each warp. A row more than 32 wide: columns lie in different banks.
struct unit_tiles {
  float of_warp[unit_warps][unit_rows][33];
};

/// A warp sums one block of squares of a unit [32, inputs] in the order of its panel [inputs, 32]: lane i % 16 has
/// outputs i and i + 16 of each input. It reads rows, and sums columns. Leaves what is no unit away.
__global__ void __launch_bounds__(unit_threads)
    unit_squares_kernel(double* sum, const float* values, square_ranges ranges) {
  const auto warp = static_cast<int64_t>(threadIdx.x) / 32;
  const auto lane = static_cast<int64_t>(threadIdx.x) % 32;
  const int64_t block = static_cast<int64_t>(blockIdx.x) * unit_warps + warp;
  if (block >= ranges.blocks()) {
    return;
  }
  const int64_t p = ranges.part_of(block);
  const int64_t inputs = ranges.inputs(p);
  if (inputs == 0) {
    return;
  }
  auto& tile = block_shared<unit_tiles>().of_warp[warp];
  const float* unit = values + ranges.offset_P1[p];
  const int64_t begin = (block - ranges.first_P1[p]) * block_inputs;
  const int64_t end = begin + block_inputs < inputs ? begin + block_inputs : inputs;
  double squares = 0.0;
  for (int64_t first = begin; first < end; first += 32) {
    const int64_t input = first + lane;
#pragma unroll
    for (int64_t row = 0; row < unit_rows; ++row) {
      tile[row][lane] = input < end ? unit[row * inputs + input] : 0.0F;
    }
    __syncwarp();
    for (int64_t column = 0; column < 32; ++column) {
      squares = with_square(squares, tile[lane % virtual_lanes][column]);
      squares = with_square(squares, tile[lane % virtual_lanes + virtual_lanes][column]);
    }
    __syncwarp();
  }
  squares = half_warp_sum(squares);
  if (lane == 0) {
    sum[block] = squares;
  }
}

}  // namespace

void adamw_update(context& ctx, const adamw_args& args) {
  if (args.count == 0) {
    return;
  }
  const adamw_operands operands{.weight = args.weight,
                                .compute = args.compute == nullptr ? nullptr : args.compute.as<bf16>(),
                                .first = args.first_moment,
                                .second = args.second_moment,
                                .gradient = args.gradient,
                                .count = args.count};
  launch(adamw_kernel, blocks_by_element(args.count), element_block(), compute_stream(ctx), operands, factors_of(args));
}

double sum_of_squares(context& ctx, const float* values, int64_t count) {
  const int64_t offset_P1[] = {0, count};
  double sum = 0;
  sums_of_squares(ctx, values, offset_P1, {&sum, 1}, {});
  return sum;
}

void sums_of_squares(context& ctx, const float* values, std::span<const int64_t> offset_P1, std::span<double> sum_P,
                     std::span<const int64_t> inputs_P) {
  std::vector<int64_t> first_P1{0};
  for (size_t p = 0; p < sum_P.size(); ++p) {
    const int64_t count = offset_P1[p + 1] - offset_P1[p];
    first_P1.push_back(first_P1.back() + (count + squares_block - 1) / squares_block);
  }
  const int64_t blocks = first_P1.back();
  std::vector<double> sum(static_cast<size_t>(blocks));
  if (blocks > 0) {
    const auto table_bytes = static_cast<int64_t>(offset_P1.size_bytes());
    const int64_t sum_bytes = blocks * int64_t{sizeof(double)};
    std::byte* place = scratch(ctx, 3 * table_bytes + sum_bytes);
    auto* offset = reinterpret_cast<int64_t*>(place);
    auto* first = reinterpret_cast<int64_t*>(place + table_bytes);
    auto* inputs = reinterpret_cast<int64_t*>(place + 2 * table_bytes);
    auto* sums = reinterpret_cast<double*>(place + 3 * table_bytes);
    ctx.on->copy(queue::compute, offset, offset_P1.data(), table_bytes);
    ctx.on->copy(queue::compute, first, first_P1.data(), table_bytes);
    const bool any_unit = std::any_of(inputs_P.begin(), inputs_P.end(), [](int64_t of_unit) { return of_unit != 0; });
    if (any_unit) {
      ctx.on->copy(queue::compute, inputs, inputs_P.data(), static_cast<int64_t>(inputs_P.size_bytes()));
    }
    const square_ranges ranges{.offset_P1 = offset,
                               .first_P1 = first,
                               .inputs_P = any_unit ? inputs : nullptr,
                               .parts = static_cast<int64_t>(sum_P.size())};
    launch(squares_kernel, blocks_by_element(blocks * virtual_lanes), element_block(), compute_stream(ctx), sums,
           values, ranges);
    if (any_unit) {
      const auto grid = static_cast<unsigned>((blocks + unit_warps - 1) / unit_warps);
      launch(unit_squares_kernel, dim3{grid}, dim3{static_cast<unsigned>(unit_threads)}, compute_stream(ctx), sums,
             values, ranges);
    }
    read_back(ctx, sum.data(), sums, sum_bytes);
  }
  for (size_t p = 0; p < sum_P.size(); ++p) {
    sum_P[p] = 0;
    for (int64_t block = first_P1[p]; block < first_P1[p + 1]; ++block) {
      sum_P[p] += sum[static_cast<size_t>(block)];
    }
  }
}

void fold_average(context& ctx, float* average, const float* values, int64_t count, float decay) {
  if (count > 0) {
    launch(average_kernel, blocks_by_element(count), element_block(), compute_stream(ctx), average, values, count,
           decay, static_cast<float>(1.0 - static_cast<double>(decay)));
  }
}

}  // namespace troupe::kernels::cuda
