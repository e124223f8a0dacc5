#include "kernels/cuda/products.hpp"

#include "base/device.hpp"
#include "base/error.hpp"
#include "base/random.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace troupe::kernels::cuda {

namespace {

constexpr int64_t most_rows = 4096;  ///< of a kind: beyond, it is the same
constexpr int64_t tried_rows = 64;   ///< that differ; they are repeated
constexpr int64_t most_tried_values = int64_t{1} << 25;

int64_t kind_of_rows(int64_t n) {
  return std::min(most_rows, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(n))));
}

int64_t stride_of(int64_t given, int64_t width) { return given != 0 ? given : width; }

/// Libraries want 16 bytes.
bool fits(const_reals values, int64_t stride) {
  return reinterpret_cast<uintptr_t>(values.data()) % 16 == 0 && stride * size_of(values.type()) % 16 == 0;
}

bool is_bf16(const_reals a, const_reals b) { return a.type() == dtype::bf16 && b.type() == dtype::bf16; }

/// Arrays of a try, gone with it.
class room {
public:
  room(device& on, int64_t bytes) : on_(on), at_(on.reserve(bytes, "tries of products")), next_(at_) {
    on.map(at_, bytes);
  }
  ~room() { on_.free(at_); }
  room(const room&) = delete;
  room& operator=(const room&) = delete;

  reals array(int64_t count, dtype type) {
    const reals values(next_, type);
    next_ += bytes_of(count, type);
    return values;
  }
  static int64_t bytes_of(int64_t count, dtype type) { return round_up<int64_t>(count * size_of(type), 256); }

private:
  device& on_;
  std::byte* at_;
  std::byte* next_;
};

void wait(device& on) { on.finish(on.record(queue::compute)); }

/// Standard normal values: sums of them differ with the order in which they are added.
std::vector<std::byte> random_values(int64_t count, dtype type, uint64_t stream) {
  std::vector<std::byte> bytes(static_cast<size_t>(count * size_of(type)));
  for (int64_t i = 0; i < count; ++i) {
    const auto value = static_cast<float>(random_normal(
        {.seed = 1, .stream = stream, .purpose = random_purpose::initialisation}, static_cast<uint64_t>(i)));
    if (type == dtype::bf16) {
      const bf16 rounded = to_bf16(value);
      std::memcpy(bytes.data() + i * 2, &rounded, 2);
    } else {
      std::memcpy(bytes.data() + i * 4, &value, 4);
    }
  }
  return bytes;
}

std::string text_of(const library_product& of) {
  return fmt::format("[{}, {}]{} x [{}, {}]{} to {}{}{}", of.m, of.k, of.a_transposed ? " transposed" : "", of.k, of.n,
                     of.b_transposed ? " transposed" : "", to_string(of.d_type), of.bias ? " + bias" : "",
                     of.accumulate ? " +=" : "");
}

/// A failure of the library, with the product at which it was met.
template <class Call> auto asked_for(const library_product& product, const Call& call) {
  try {
    return call();
  } catch (const error& failure) {
    throw error(failure.code(), "{}, for the product {}", failure.what(), text_of(product));
  }
}

}  // namespace

std::vector<library_algorithm> products::offered(const library_product& product) {
  return asked_for(product, [&] { return library_.algorithms(product); });
}

bool products::run(stream_t stream, const library_product& product, const library_operands& operands,
                   const library_algorithm& algorithm) {
  return asked_for(product, [&] { return library_.run(stream, product, operands, algorithm); });
}

library_product forward_product(const linear_args& args) {
  // Rows one after the other are columns one after the other of the transposed matrix: y^T = W x^T.
  return {.m = args.outputs,
          .n = args.n,
          .k = args.inputs,
          .a_stride = args.inputs,
          .b_stride = stride_of(args.x_stride, args.inputs),
          .d_stride = stride_of(args.y_stride, args.outputs),
          .a_transposed = true,
          .d_type = args.y_NO.type(),
          .bias = args.bias_O != nullptr,
          .accumulate = args.accumulate};
}

library_product backward_input_product(const linear_backward_input_args& args) {
  return {.m = args.inputs,
          .n = args.n,
          .k = args.outputs,
          .a_stride = args.inputs,
          .b_stride = stride_of(args.dy_stride, args.outputs),
          .d_stride = args.inputs,
          .d_type = args.dx_NI.type(),
          .accumulate = args.accumulate};
}

library_product backward_weight_product(const linear_backward_weight_args& args) {
  return {.m = args.inputs,
          .n = args.outputs,
          .k = args.n,
          .a_stride = args.inputs,
          .b_stride = stride_of(args.dy_stride, args.outputs),
          .d_stride = args.inputs,
          .b_transposed = true,
          .d_type = dtype::f32,
          .accumulate = true};
}

void products::forward(context& ctx, const linear_args& args, bool may_try) {
  const library_product product = forward_product(args);
  const bool possible = args.n >= least_rows && is_bf16(args.x_NI, args.weight) &&
                        (!product.bias || args.bias_O.type() == product.d_type) && fits(args.x_NI, product.b_stride) &&
                        fits(args.weight, product.a_stride) && fits(args.y_NO, product.d_stride);
  if (possible) {
    const int64_t rows = kind_of_rows(args.n);
    const kind of{operation::y, rows, args.outputs, args.inputs, product.d_type, product.bias, product.accumulate};
    auto found = chosen_.find(of);
    if (found == chosen_.end() && may_try) {
      found = chosen_.emplace(of, tried(ctx, args, rows)).first;
    }
    if (found != chosen_.end() && found->second &&
        run(compute_stream(ctx), product,
            {.d = args.y_NO.data(), .a = args.weight.data(), .b = args.x_NI.data(), .bias = args.bias_O.data()},
            *found->second)) {
      return;
    }
  }
  own_.forward(ctx, args);
}

/// The first algorithm that gives the bits of our kernel.
products::choice products::tried(context& ctx, const linear_args& args, int64_t rows) {
  device& on = *ctx.on;
  const dtype type = args.y_NO.type();
  const int64_t wide = std::max(args.outputs, args.inputs);
  const int64_t n = std::clamp(most_tried_values / wide, least_rows, rows);
  room all(on, room::bytes_of(n * args.inputs, dtype::bf16) + 2 * room::bytes_of(n * args.outputs, type) +
                   room::bytes_of(tried_rows * args.outputs, type));
  const reals x = all.array(n * args.inputs, dtype::bf16);
  const reals own = all.array(n * args.outputs, type);
  const reals other = all.array(n * args.outputs, type);
  const reals first_y = all.array(tried_rows * args.outputs, type);
  const auto rows_of_x = random_values(tried_rows * args.inputs, dtype::bf16, 1);
  const auto rows_of_y = random_values(tried_rows * args.outputs, type, 2);
  wait(on);  // such copies would, without a limit of time
  on.copy(queue::compute, x.data(), rows_of_x.data(), static_cast<int64_t>(rows_of_x.size()));
  on.copy(queue::compute, first_y.data(), rows_of_y.data(), static_cast<int64_t>(rows_of_y.size()));
  // The first rows are there.
  const auto repeat = [&](reals rows_of, int64_t width) {
    for (int64_t done = tried_rows; done < n; done *= 2) {
      on.copy(queue::compute, (rows_of + done * width).data(), rows_of.data(),
              std::min(done, n - done) * width * size_of(rows_of.type()));
    }
  };
  repeat(x, args.inputs);
  const auto begin = [&](reals y) {  // for products that accumulate
    on.copy(queue::compute, y.data(), first_y.data(), static_cast<int64_t>(rows_of_y.size()));
    repeat(y, args.outputs);
  };
  begin(own);
  linear_args ours = args;
  ours.n = n;
  ours.x_NI = x;
  ours.y_NO = own;
  ours.x_stride = ours.y_stride = 0;
  own_.forward(ctx, ours);

  const auto read = [&](reals from, int64_t count) {
    std::vector<std::byte> bytes(static_cast<size_t>(count * args.outputs * size_of(type)));
    wait(on);
    on.copy(queue::compute, bytes.data(), from.data(), static_cast<int64_t>(bytes.size()));
    wait(on);
    return bytes;
  };
  const auto same = [&](int64_t count) { return read(other, count) == read(own, count); };
  linear_args theirs = ours;
  theirs.y_NO = other;
  library_product product = forward_product(theirs);
  product.n = rows;  // its algorithms are asked for as they will be needed
  const auto algorithms = offered(product);
  product.n = n;
  choice chosen;
  for (size_t i = 0; i < algorithms.size() && !chosen; ++i) {
    if (algorithms[i].splits != 1) {
      continue;
    }
    begin(other);
    if (run(compute_stream(ctx), product,
            {.d = other.data(), .a = args.weight.data(), .b = x.data(), .bias = args.bias_O.data()}, algorithms[i]) &&
        same(tried_rows) && same(n)) {  // all of it takes long, and mostly the first rows tell
      chosen = algorithms[i];
    }
  }
  wait(on);  // before its arrays go
  note({operation::y, rows, args.outputs, args.inputs, type, product.bias, product.accumulate}, chosen,
       algorithms.size());
  return chosen;
}

/// The first that does not split.
products::choice products::first(const kind& of, const library_product& product) {
  const auto known = chosen_.find(of);
  if (known != chosen_.end()) {
    return known->second;
  }
  const auto algorithms = offered(product);
  const auto whole = std::find_if(algorithms.begin(), algorithms.end(),
                                  [](const library_algorithm& each) { return each.splits == 1; });
  const choice chosen = whole != algorithms.end() ? choice(*whole) : std::nullopt;
  note(of, chosen, algorithms.size());
  return chosen_.emplace(of, chosen).first->second;
}

void products::backward_input(context& ctx, const linear_backward_input_args& args) {
  const library_product product = backward_input_product(args);
  if (args.n >= least_rows && is_bf16(args.dy_NO, args.weight) && fits(args.dy_NO, product.b_stride) &&
      fits(args.weight, product.a_stride) && fits(args.dx_NI, product.d_stride)) {
    library_product usual = product;
    usual.n = kind_of_rows(args.n);
    const choice chosen =
        first({operation::dx, usual.n, args.outputs, args.inputs, product.d_type, false, product.accumulate}, usual);
    if (chosen && run(compute_stream(ctx), product,
                      {.d = args.dx_NI.data(), .a = args.weight.data(), .b = args.dy_NO.data()}, *chosen)) {
      return;
    }
  }
  own_.backward_input(ctx, args);
}

void products::backward_weight(context& ctx, const linear_backward_weight_args& args) {
  const library_product product = backward_weight_product(args);
  if (args.n >= least_rows && is_bf16(args.dy_NO, args.x_NI) && fits(args.dy_NO, product.b_stride) &&
      fits(args.x_NI, product.a_stride) && fits(args.dweight, product.d_stride)) {
    library_product usual = product;
    usual.k = kind_of_rows(args.n);
    const choice chosen = first({operation::dw, usual.k, args.outputs, args.inputs, dtype::f32, false, true}, usual);
    if (chosen && run(compute_stream(ctx), product, {.d = args.dweight, .a = args.x_NI.data(), .b = args.dy_NO.data()},
                      *chosen)) {
      linear_backward_weight_args bias_alone = args;
      bias_alone.dweight = nullptr;
      return own_.backward_weight(ctx, bias_alone);
    }
  }
  own_.backward_weight(ctx, args);
}

void products::note(const kind& of, const choice& chosen, size_t others) {
  constexpr const char* names[] = {"y", "dx", "dW"};
  const auto& [what, rows, outputs, inputs, type, bias, accumulate] = of;
  lines_.push_back(fmt::format("{} [{}, {}] {}{}{}, {} rows: {} of {}", names[static_cast<size_t>(what)], outputs,
                               inputs, to_string(type), bias ? " + bias" : "", accumulate ? " +=" : "", rows,
                               chosen ? fmt::format("algorithm {}, stages {},", chosen->id, chosen->stages)
                                      : std::string("our kernel, none"),
                               others));
  if (tell_) {
    tell_(lines_.back());
  }
}

}  // namespace troupe::kernels::cuda
