// The operations of cpu/optimizer.cpp in their order, each rounded once: the same bits, so that optimizers of both
// kinds can take turns with one model.
#include "base/device.hpp"
#include "kernels/adamw_factors.hpp"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/optimizer.hpp"

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

/// Half a warp sums one block of squares: lane i those of elements i, i + 16, ..., then the tree 8, 4, 2, 1.
/// Range p has the blocks [first_P1[p], first_P1[p + 1]).
__global__ void squares_kernel(double* sum, const float* values, const int64_t* offset_P1, const int64_t* first_P1,
                               int64_t parts) {
  const auto lane = static_cast<int64_t>(threadIdx.x) % virtual_lanes;
  const int64_t block = element_index() / virtual_lanes;
  double squares = 0.0;
  if (block < first_P1[parts]) {
    int64_t p = 0;
    for (int64_t end = parts; p + 1 < end;) {  // the last p with first_P1[p] <= block
      const int64_t middle = (p + end) / 2;
      first_P1[middle] <= block ? p = middle : end = middle;
    }
    const int64_t begin = offset_P1[p] + (block - first_P1[p]) * squares_block;
    const int64_t end = begin + squares_block < offset_P1[p + 1] ? begin + squares_block : offset_P1[p + 1];
    for (int64_t i = begin + lane; i < end; i += virtual_lanes) {
      const auto value = static_cast<double>(values[i]);
      squares = __fma_rn(value, value, squares);
    }
  }
  for (int lane_mask = virtual_lanes / 2; lane_mask > 0; lane_mask /= 2) {
    squares = __dadd_rn(squares, __shfl_xor_sync(all_lanes, squares, lane_mask));
  }
  if (lane == 0 && block < first_P1[parts]) {
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
  sums_of_squares(ctx, values, offset_P1, {&sum, 1});
  return sum;
}

void sums_of_squares(context& ctx, const float* values, std::span<const int64_t> offset_P1, std::span<double> sum_P) {
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
    std::byte* place = scratch(ctx, 2 * table_bytes + sum_bytes);
    auto* offset = reinterpret_cast<int64_t*>(place);
    auto* first = reinterpret_cast<int64_t*>(place + table_bytes);
    auto* sums = reinterpret_cast<double*>(place + 2 * table_bytes);
    ctx.on->copy(queue::compute, offset, offset_P1.data(), table_bytes);
    ctx.on->copy(queue::compute, first, first_P1.data(), table_bytes);
    launch(squares_kernel, blocks_by_element(blocks * virtual_lanes), element_block(), compute_stream(ctx), sums,
           values, offset, first, static_cast<int64_t>(sum_P.size()));
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
