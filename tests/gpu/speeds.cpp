// How fast single operations are, and a checkpoint's copy, against what the card does at most: copies within it for
// those that wait for memory, the largest product for those that multiply.
#include "base/aligned.hpp"
#include "base/round_up.hpp"
#include "engine/arena/card_arena.hpp"
#include "kernels/attention.hpp"
#include "kernels/log_prob.hpp"
#include "kernels/matrix.hpp"
#include "kernels/optimizer.hpp"

#include <fmt/format.h>

#include "gpu/card_model.hpp"
#include "gpu/measure.hpp"
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

namespace troupe::gpu_check {

namespace {

/// Where an operation's time goes at least.
struct ceiling {
  const char* of;
  double rate;  ///< bytes or operations a second
};

class speeds_of {
public:
  explicit speeds_of(subject& of)
      : of_(of), memory_{"memory", 1e9 * memory_gb_per_s(of)}, products_{"products", 1e12 * product_tflops(of)} {}

  void few_rows(int64_t n);
  void many_rows();
  void attention();
  void decoding_attention();
  void head();
  void optimizer();
  void checkpoint();

  outcome found;

private:
  /// Random values, as many as are asked for: parts of one sequence.
  reals values(card_arrays& arrays, int64_t count, dtype type) const;

  template <class Call> void measure(const std::string& name, double work, const ceiling& at_most, const Call& call) {
    if (!of_.has_time()) {
      found.text += fmt::format("{} left out: no time; ", name);
      return;
    }
    const double seconds = seconds_of(of_.card, of_.emulated ? 1 : 4, call);
    if (of_.emulated) {
      found.text += name + "; ";
      return;
    }
    const double share = work / seconds / at_most.rate;
    found.text += fmt::format("{} {:.3g} ms, {:.0f} % of {}; ", name, 1e3 * seconds, 100 * share, at_most.of);
    std::string figure = name + "_share";
    std::replace(figure.begin(), figure.end(), ' ', '_');
    found.figures.push_back({figure, share});
  }

  subject& of_;
  ceiling memory_, products_;
};

reals speeds_of::values(card_arrays& arrays, int64_t count, dtype type) const {
  const int64_t some = std::min<int64_t>(count, 1 << 16);
  const reals all = arrays.empty(count, type);
  const reals first = arrays.random(some, type, 1).card;
  of_.card.copy(queue::compute, all.data(), first.data(), some * size_of(type));
  for (int64_t done = some; done < count; done *= 2) {
    of_.card.copy(queue::compute, (all + done).data(), all.data(), std::min(done, count - done) * size_of(type));
  }
  return all;
}

/// The weights of a block of 8 billion parameters, others at each call: a small one would stay in the cache.
void speeds_of::few_rows(int64_t n) {
  card_arrays arrays(of_.card);
  const int64_t width = of_.size(4096, 32), units = of_.size(14336, 48), copies = of_.size(4, 1);
  const reals x = values(arrays, n * units, dtype::bf16), y = arrays.empty(n * 2 * units, dtype::bf16);
  const int64_t block = width * width + 3 * units * width;
  const reals weights = values(arrays, copies * block, dtype::bf16);
  int64_t turn = 0;
  measure(fmt::format("products of {} rows", n), static_cast<double>(2 * block), memory_, [&] {
    const_reals at = weights + turn++ % copies * block;
    for (const auto& [outputs, inputs] : {std::pair(width, width), {2 * units, width}, {width, units}}) {
      kernels::linear_forward(of_.on_card,
                              {.y_NO = y, .x_NI = x, .weight = at, .n = n, .outputs = outputs, .inputs = inputs});
      at = at + outputs * inputs;
    }
  });
}

void speeds_of::many_rows() {
  card_arrays arrays(of_.card);
  const int64_t n = of_.size(4096, 70), outputs = of_.size(14336, 40), inputs = of_.size(4096, 32);
  const reals x = values(arrays, n * inputs, dtype::bf16), y = values(arrays, n * outputs, dtype::bf16);
  const reals weight = values(arrays, round_up(outputs, kernels::panel_width) * inputs, dtype::bf16);
  auto* const dweight = values(arrays, round_up(outputs, kernels::panel_width) * inputs, dtype::f32).as<float>();
  const double work = 2.0 * static_cast<double>(n) * static_cast<double>(outputs) * static_cast<double>(inputs);
  measure("product", work, products_, [&] {
    kernels::linear_forward(of_.on_card,
                            {.y_NO = y, .x_NI = x, .weight = weight, .n = n, .outputs = outputs, .inputs = inputs});
  });
  measure("product backward to input", work, products_, [&] {
    kernels::linear_backward_input(
        of_.on_card, {.dx_NI = x, .dy_NO = y, .weight = weight, .n = n, .outputs = outputs, .inputs = inputs});
  });
  measure("product backward to weight", work, products_, [&] {
    kernels::linear_backward_weight(
        of_.on_card, {.dweight = dweight, .x_NI = x, .dy_NO = y, .n = n, .outputs = outputs, .inputs = inputs});
  });
}

kernels::attention_shape shape_of(const subject& of) {
  kernels::attention_shape shape{.heads = of.size(32, 2), .kv_heads = of.size(8, 1), .head_width = of.size(128, 16)};
  shape.scale = 1.0F / std::sqrt(static_cast<float>(shape.head_width));
  return shape;
}

/// One sequence. No row sees what comes after it, so that half of all pairs count.
void speeds_of::attention() {
  card_arrays arrays(of_.card);
  const kernels::attention_shape shape = shape_of(of_);
  const int64_t n = of_.size(4096, 70), width = shape.heads * shape.head_width;
  const reals qkv = values(arrays, n * shape.row_width(), dtype::bf16), out = values(arrays, n * width, dtype::bf16);
  const reals dqkv = arrays.empty(n * shape.row_width(), dtype::bf16);
  auto* const lse = arrays.empty(n * shape.heads, dtype::f32).as<float>();
  const std::vector<int64_t> offset{0, n};
  std::vector<int32_t> tiles;
  for (int64_t tile = 0; tile * kernels::attention_tile < n; ++tile) {
    tiles.insert(tiles.end(), {0, static_cast<int32_t>(tile)});
  }
  const std::span<const int64_t> offset_B1(arrays.upload_as_is(std::span<const int64_t>(offset)), offset.size());
  const std::span<const int32_t> tile_T2(arrays.upload_as_is(std::span<const int32_t>(tiles)), tiles.size());
  const double work = 2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(width);
  measure("attention", work, products_, [&] {
    kernels::attention_forward(
        of_.on_card,
        {.shape = shape, .out_NHK = out, .lse_NH = lse, .qkv_NE = qkv, .offset_B1 = offset_B1, .tile_T2 = tile_T2});
  });
  measure("attention backward", 2.5 * work, products_, [&] {
    kernels::attention_backward(of_.on_card, {.shape = shape,
                                              .dqkv_NE = dqkv,
                                              .dout_NHK = out,
                                              .out_NHK = out,
                                              .lse_NH = lse,
                                              .qkv_NE = qkv,
                                              .offset_B1 = offset_B1,
                                              .tile_T2 = tile_T2});
  });
}

/// One new row of each of many sequences.
void speeds_of::decoding_attention() {
  card_arrays arrays(of_.card);
  const kernels::attention_shape shape = shape_of(of_);
  const int64_t sequences = of_.size(64, 2), length = of_.size(2048, 70);
  const int64_t pages = divide_up(length, kernels::attention_tile);
  const int64_t cached = sequences * pages * kernels::kv_pages{}.page_floats(shape);
  const reals keys = values(arrays, cached, dtype::bf16), rows = values(arrays, cached, dtype::bf16);
  const reals qkv = values(arrays, sequences * shape.row_width(), dtype::bf16);
  const reals out = arrays.empty(sequences * shape.heads * shape.head_width, dtype::bf16);
  std::vector<int32_t> page(static_cast<size_t>(sequences * pages));
  std::iota(page.begin(), page.end(), 0);
  std::vector<int64_t> row(static_cast<size_t>(sequences) + 1);
  std::iota(row.begin(), row.end(), 0);
  const std::vector<int32_t> position(static_cast<size_t>(sequences), static_cast<int32_t>(length - 1));
  const kernels::page_map where{.page_SP = arrays.upload_as_is(std::span<const int32_t>(page)),
                                .row_S1 = arrays.upload_as_is(std::span<const int64_t>(row)),
                                .position_S = arrays.upload_as_is(std::span<const int32_t>(position)),
                                .sequences = sequences,
                                .stride = pages,
                                .rows = sequences,
                                .longest = length};
  const auto bytes = static_cast<double>(2 * sequences * length * shape.kv_heads * shape.head_width * 2);
  measure("attention of decoding", bytes, memory_, [&] {
    kernels::paged_attention_forward(
        of_.on_card,
        {.shape = shape, .out_NHK = out, .qkv_NE = qkv, .pages = {.keys = keys, .values = rows}, .where = where});
  });
}

void speeds_of::head() {
  card_arrays arrays(of_.card);
  const int64_t n = of_.size(2048, 20), d = of_.size(4096, 32), vocabulary = of_.size(128256, 70);
  const reals x = values(arrays, n * d, dtype::bf16);
  const reals weight = values(arrays, round_up(vocabulary, kernels::panel_width) * d, dtype::bf16);
  const std::vector<int32_t> target(static_cast<size_t>(n), 7);
  const kernels::log_prob_args args{.logprob_N = arrays.empty(n, dtype::f32).as<float>(),
                                    .x_ND = x,
                                    .weight = weight,
                                    .target_N = arrays.upload_as_is(std::span<const int32_t>(target)),
                                    .n = n,
                                    .d = d,
                                    .vocabulary = vocabulary};
  const double work = 2.0 * static_cast<double>(n) * static_cast<double>(d) * static_cast<double>(vocabulary);
  measure("log-probabilities", work, products_, [&] { kernels::log_prob_forward(of_.on_card, args); });
}

/// Reads four float32 values of each weight, writes three, and the rounded one.
void speeds_of::optimizer() {
  card_arrays arrays(of_.card);
  const int64_t count = of_.size(int64_t{1} << 28, 1000);
  const auto some = [&] { return values(arrays, count, dtype::f32).as<float>(); };
  kernels::adamw_args args{.weight = some(),
                           .compute = arrays.empty(count, dtype::bf16),
                           .first_moment = some(),
                           .second_moment = some(),
                           .gradient = some(),
                           .count = count,
                           .learning_rate = 1e-6F};
  of_.card.zero(queue::compute, args.second_moment, count * size_of(dtype::f32));
  measure("optimizer", 30.0 * static_cast<double>(count), memory_, [&] { kernels::adamw_update(of_.on_card, args); });
}

/// Float32 weights to host memory, in the host's order.
void speeds_of::checkpoint() {
  card_arrays arrays(of_.card);
  const int64_t pinned_bytes = of_.size(int64_t{1} << 28, 1 << 16);
  const auto pinned = of_.card.pin(pinned_bytes);
  std::byte* const there = arrays.bytes(pinned_bytes);
  of_.card.zero(queue::compute, there, pinned_bytes);
  const ceiling down{"copies down", 1e9 * copy_gb_per_s(of_, queue::download, pinned->data(), there, pinned_bytes)};
  const engine::transformer net(shape_of_1b(of_));
  const int64_t count = net.layout().arena_size();
  const reals weights = values(arrays, count, dtype::f32);
  aligned_buffer<float> host(count);
  engine::staging through;
  context ctx{of_.on_host.pool, &of_.card};
  measure("checkpoint copy", 4.0 * static_cast<double>(count), down,
          [&] { engine::fetch_arena(ctx, net.layout(), weights, host.data(), through); });
}

}  // namespace

outcome speeds(subject& of) {
  speeds_of all(of);
  for (const int64_t n : {1, 16, 64}) {
    all.few_rows(n);
  }
  all.many_rows();
  all.attention();
  all.decoding_attention();
  all.head();
  all.optimizer();
  all.checkpoint();
  if (of.emulated) {
    all.found.text += "emulated: no speeds";
  }
  return all.found;
}

}  // namespace troupe::gpu_check
