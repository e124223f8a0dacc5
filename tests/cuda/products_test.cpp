#include "kernels/cuda/matrix.hpp"
#include "kernels/cuda/products.hpp"
#include "support/emulation/card_test.hpp"
#include "support/emulation/matrix_unit.hpp"
#include "support/errors.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace troupe::kernels::cuda {
namespace {

using test::operand;

/// A library that computes a product as it is told to, element by element from the matrices' columns. Its algorithms
/// have the bits of the matrix unit, unless they are of the kinds below.
class fake_library final : public product_library {
public:
  explicit fake_library(device& card) : card_(card) {}

  enum kind { exact = 66, other_bits = 21, other_later_rows = 22, refuses = 5 };

  std::vector<library_algorithm> algorithms(const library_product& product) override {
    asked.push_back(product);
    return offered;
  }

  bool run(stream_t /*stream*/, const library_product& p, const library_operands& operands,
           const library_algorithm& algorithm) override {
    ++runs;
    last = p;
    if (fails) {
      throw error(errc::device_failure,
                  "card 3 (H100, host x): cuBLASLt: cublasLtMatmul: CUBLAS_STATUS_INTERNAL_ERROR");
    }
    if (algorithm.id == refuses) {
      return false;
    }
    // The card's memory is open to copies alone. A matrix of columns ends with the last one's last element.
    const auto elements = [](int64_t rows, int64_t columns, int64_t stride) { return (columns - 1) * stride + rows; };
    const auto a =
        read(operands.a, dtype::bf16, elements(p.a_transposed ? p.k : p.m, p.a_transposed ? p.m : p.k, p.a_stride));
    const auto b =
        read(operands.b, dtype::bf16, elements(p.b_transposed ? p.n : p.k, p.b_transposed ? p.k : p.n, p.b_stride));
    const auto bias = p.bias ? read(operands.bias, p.d_type, p.m) : std::vector<float>();
    auto d = read(operands.d, p.d_type, elements(p.m, p.n, p.d_stride));
    for (int64_t column = 0; column < p.n; ++column) {
      for (int64_t row = 0; row < p.m; ++row) {
        float sum = 0;
        for (int64_t k = 0; k < p.k; k += 16) {
          uint16_t of_a[16] = {};
          uint16_t of_b[16] = {};
          for (int64_t i = 0; i < std::min<int64_t>(16, p.k - k); ++i) {
            of_a[i] = to_bf16(a[p.a_transposed ? row * p.a_stride + k + i : (k + i) * p.a_stride + row]).bits;
            of_b[i] = to_bf16(b[p.b_transposed ? (k + i) * p.b_stride + column : column * p.b_stride + k + i]).bits;
          }
          sum = emulation::dot_16(of_a, of_b, sum);
        }
        float& to = d[column * p.d_stride + row];
        const float more = p.bias ? bias[row] : p.accumulate ? to : 0.0F;
        const bool other = algorithm.id == other_bits || (algorithm.id == other_later_rows && column >= 64);
        to = (other ? sum * 1.01F : sum) + more;
      }
    }
    write(operands.d, p.d_type, d);
    return true;
  }

  std::vector<library_algorithm> offered{{.id = exact}};
  std::vector<library_product> asked;
  library_product last;
  int runs = 0;
  bool fails = false;  ///< once it is true

private:
  std::vector<float> read(const void* from, dtype type, int64_t count) {
    std::vector<bf16> narrow(type == dtype::bf16 ? count : 0);
    std::vector<float> wide(count);
    void* const to = type == dtype::bf16 ? static_cast<void*>(narrow.data()) : wide.data();
    card_.copy(queue::compute, to, from, count * size_of(type));
    std::transform(narrow.begin(), narrow.end(), wide.begin(), [](bf16 value) { return to_float(value); });
    return wide;
  }
  void write(void* to, dtype type, const std::vector<float>& values) {
    std::vector<bf16> narrow(values.size());
    std::transform(values.begin(), values.end(), narrow.begin(), to_bf16);
    const void* const from = type == dtype::bf16 ? static_cast<const void*>(narrow.data()) : values.data();
    card_.copy(queue::compute, to, from, static_cast<int64_t>(values.size()) * size_of(type));
  }

  device& card_;
};

int own_forwards = 0;

/// Products by a fake library, on a card that is emulated; and the same by our kernels alone.
struct CudaProductsTest : testing::Test {
  CudaProductsTest() { own_forwards = 0; }

  test::emulated_context on;
  fake_library library{*on.card};
  products by_library{library,
                      {.forward =
                           [](context& ctx, const linear_args& args) {
                             ++own_forwards;
                             cuda::linear_forward(ctx, args);
                           },
                       .backward_input = cuda::linear_backward_input,
                       .backward_weight = cuda::linear_backward_weight},
                      {}};

  static constexpr int64_t n = 70, outputs = 40, inputs = 48, wide = 64;
  operand x{test::random_values(n * wide, 1), dtype::bf16};
  operand w{test::random_values(64 * inputs, 2), dtype::bf16};
  operand bias{test::random_values(outputs, 3), dtype::bf16};
  operand y{test::random_values(n * wide, 4), dtype::bf16};
  operand dy{test::random_values(n * wide, 5), dtype::bf16};

  /// Rows that stand further apart than they are wide.
  linear_args forward_args(operand& to) {
    return {.y_NO = to.data(),
            .x_NI = x.data(),
            .weight = w.data(),
            .bias_O = bias.data(),
            .n = n,
            .outputs = outputs,
            .inputs = inputs,
            .y_stride = wide,
            .x_stride = wide};
  }
};

TEST_F(CudaProductsTest, AFailureOfTheLibraryNamesTheProduct) {
  library.fails = true;
  test::expect_error(errc::device_failure,
                     "card 3 (H100, host x): cuBLASLt: cublasLtMatmul: CUBLAS_STATUS_INTERNAL_ERROR, for the product "
                     "[40, 48] transposed x [48, 128] to bf16 + bias",
                     [&] { by_library.forward(on.ctx, forward_args(y), true); });
}

TEST_F(CudaProductsTest, TheLibraryIsToldOurRowsAsItsColumns) {
  operand want = y;
  cuda::linear_forward(on.ctx, forward_args(want));
  by_library.forward(on.ctx, forward_args(y), true);
  EXPECT_EQ(y, want);
  EXPECT_EQ(own_forwards, 1) << "our kernel computed more than what the library was held against";
  EXPECT_EQ(library.runs, 2);

  for (const bool accumulate : {false, true}) {
    operand dx{test::random_values(n * inputs, 6), dtype::bf16};
    operand dx_want = dx;
    linear_backward_input_args args{.dx_NI = dx.data(),
                                    .dy_NO = dy.data(),
                                    .weight = w.data(),
                                    .n = n,
                                    .outputs = outputs,
                                    .inputs = inputs,
                                    .dy_stride = wide,
                                    .accumulate = accumulate};
    by_library.backward_input(on.ctx, args);
    args.dx_NI = dx_want.data();
    cuda::linear_backward_input(on.ctx, args);
    EXPECT_EQ(dx, dx_want);
  }
  EXPECT_EQ(library.runs, 4);

  operand dw{test::random_values(64 * inputs, 7), dtype::f32};
  operand db{test::random_values(outputs, 8), dtype::f32};
  operand dw_want = dw;
  operand db_want = db;
  linear_backward_weight_args args{.dweight = dw.data(),
                                   .dbias_O = db.data(),
                                   .x_NI = x.data(),
                                   .dy_NO = dy.data(),
                                   .n = n,
                                   .outputs = outputs,
                                   .inputs = inputs,
                                   .dy_stride = wide};
  by_library.backward_weight(on.ctx, args);
  args.dweight = dw_want.data();
  args.dbias_O = db_want.data();
  cuda::linear_backward_weight(on.ctx, args);
  EXPECT_EQ(dw, dw_want);
  EXPECT_EQ(db, db_want);
  EXPECT_EQ(library.runs, 5);
}

TEST_F(CudaProductsTest, TheFirstAlgorithmThatHasOurBitsIsTaken) {
  library.offered = {{.id = fake_library::refuses},
                     {.id = fake_library::exact, .stages = 1, .splits = 4},
                     {.id = fake_library::other_bits},
                     {.id = fake_library::other_later_rows},
                     {.id = fake_library::exact, .stages = 7},
                     {.id = fake_library::exact, .stages = 8}};
  operand want = y;
  cuda::linear_forward(on.ctx, forward_args(want));
  by_library.forward(on.ctx, forward_args(y), true);
  EXPECT_EQ(y, want);
  EXPECT_EQ(library.runs, 4 + 1) << "one that splits must not even be tried";
  EXPECT_EQ(library.asked.at(0).n, 128) << "algorithms are asked for by kinds of numbers of rows";
  ASSERT_EQ(by_library.choices().size(), 1U);
  EXPECT_EQ(by_library.choices()[0], "y [40, 48] bf16 + bias, 128 rows: algorithm 66, stages 7, of 6");
  by_library.forward(on.ctx, forward_args(y), true);
  EXPECT_EQ(library.runs, 4 + 2) << "it is chosen once";
  EXPECT_EQ(library.asked.size(), 1U);
}

TEST_F(CudaProductsTest, WithoutOneOurKernelComputesAll) {
  library.offered = {{.id = fake_library::other_bits}, {.id = fake_library::exact, .splits = 2}};
  operand want = y;
  cuda::linear_forward(on.ctx, forward_args(want));
  by_library.forward(on.ctx, forward_args(y), true);
  EXPECT_EQ(y, want);
  EXPECT_EQ(by_library.choices().at(0), "y [40, 48] bf16 + bias, 128 rows: our kernel, none of 2");
  by_library.forward(on.ctx, forward_args(y), true);
  EXPECT_EQ(library.runs, 1);
}

/// What is added to is the same for each that is tried, in all rows.
TEST_F(CudaProductsTest, AnAlgorithmThatAddsToWhatIsThereIsTriedLikeOurKernel) {
  library.offered = {{.id = fake_library::other_later_rows}, {.id = fake_library::exact, .stages = 3}};
  linear_args args = forward_args(y);
  args.bias_O = nullptr;
  args.accumulate = true;
  args.n = 300;  // beyond four times as many rows as differ
  operand large_x{test::random_values(args.n * wide, 9), dtype::bf16};
  operand large_y{test::random_values(args.n * wide, 10), dtype::bf16};
  args.x_NI = large_x.data();
  args.y_NO = large_y.data();
  by_library.forward(on.ctx, args, true);
  EXPECT_EQ(by_library.choices().at(0), "y [40, 48] bf16 +=, 512 rows: algorithm 66, stages 3, of 2");
}

TEST_F(CudaProductsTest, NothingIsTriedWhileCallsAreRecorded) {
  by_library.forward(on.ctx, forward_args(y), false);
  EXPECT_EQ(library.runs, 0);
  EXPECT_EQ(own_forwards, 1);
  by_library.forward(on.ctx, forward_args(y), true);
  by_library.forward(on.ctx, forward_args(y), false);
  EXPECT_EQ(library.runs, 3) << "what has been chosen is used";
}

TEST_F(CudaProductsTest, FewRowsFloat32AndOddAddressesGoToOurKernels) {
  linear_args args = forward_args(y);
  args.n = least_rows - 1;
  by_library.forward(on.ctx, args, true);
  args = forward_args(y);
  args.x_NI = args.x_NI + 1;
  by_library.forward(on.ctx, args, true);
  args = forward_args(y);
  args.y_stride = wide - 1;
  by_library.forward(on.ctx, args, true);
  operand wide_bias{test::random_values(outputs, 3), dtype::f32};
  args = forward_args(y);
  args.bias_O = wide_bias.data();
  by_library.forward(on.ctx, args, true);
  operand x32 = test::widened(x), y32 = test::widened(y);
  args = forward_args(y32);
  args.x_NI = x32.data();
  by_library.forward(on.ctx, args, true);
  EXPECT_EQ(own_forwards, 5);
  EXPECT_EQ(library.runs, 0);
  EXPECT_TRUE(library.asked.empty());
}

TEST_F(CudaProductsTest, AProductThatTheLibraryRefusesIsOurs) {
  by_library.forward(on.ctx, forward_args(y), true);
  operand want = y;
  cuda::linear_forward(on.ctx, forward_args(want));
  library.offered = {{.id = fake_library::refuses}};
  linear_args args = forward_args(y);
  args.n = 2 * least_rows;  // another kind
  operand large_x{test::random_values(args.n * wide, 9), dtype::bf16};
  operand large_y{test::random_values(args.n * wide, 10), dtype::bf16};
  args.x_NI = large_x.data();
  args.y_NO = large_y.data();
  by_library.forward(on.ctx, args, true);
  operand again = large_y;
  args.y_NO = again.data();
  cuda::linear_forward(on.ctx, args);
  EXPECT_EQ(large_y, again);
}

}  // namespace
}  // namespace troupe::kernels::cuda
