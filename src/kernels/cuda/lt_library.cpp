#include "kernels/cuda/lt_library.hpp"

#include "base/error.hpp"
#include "kernels/cuda/failure.hpp"

#include <cublasLt.h>

#include <algorithm>
#include <bit>

namespace troupe::kernels::cuda {

namespace {

constexpr int most_algorithms = 16;

/// What allocations and strides of ours have at least, and products checks.
constexpr uint32_t alignment = 16;

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw error(status == CUBLAS_STATUS_ALLOC_FAILED ? errc::out_of_memory : errc::device_failure,
                "{}: cuBLASLt: {}: {}", called(), call, cublasLtGetStatusString(status));
  }
}

/// The library has nothing for a product, which is no failure.
bool has_none(cublasStatus_t status) {
  return status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE;
}

cudaDataType type_of(dtype type) { return type == dtype::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

/// A product in cuBLASLt's words. Its parts live in it, so it is neither copied nor moved.
struct words {
  cublasLtMatmulDescOpaque_t product{};
  cublasLtMatrixLayoutOpaque_t a{}, b{}, d{};

  words(const library_product& of, const void* bias) {
    check(cublasLtMatmulDescInit(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescInit");
    set(CUBLASLT_MATMUL_DESC_TRANSA, of.a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, of.b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (of.bias) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(of.d_type));
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    }
    lay_out(a, CUDA_R_16BF, of.a_transposed ? of.k : of.m, of.a_transposed ? of.m : of.k, of.a_stride);
    lay_out(b, CUDA_R_16BF, of.b_transposed ? of.n : of.k, of.b_transposed ? of.k : of.n, of.b_stride);
    lay_out(d, type_of(of.d_type), of.m, of.n, of.d_stride);
  }
  words(const words&) = delete;
  words& operator=(const words&) = delete;

private:
  template <class Value> void set(cublasLtMatmulDescAttributes_t attribute, Value value) {
    check(cublasLtMatmulDescSetAttribute(&product, attribute, &value, sizeof(value)), "cublasLtMatmulDescSetAttribute");
  }
  static void lay_out(cublasLtMatrixLayoutOpaque_t& layout, cudaDataType type, int64_t rows, int64_t columns,
                      int64_t stride) {
    check(cublasLtMatrixLayoutInit(&layout, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), stride),
          "cublasLtMatrixLayoutInit");
  }
};

int attribute_of(const cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoConfigAttributes_t attribute) {
  int value = 0;
  size_t written = 0;
  check(cublasLtMatmulAlgoConfigGetAttribute(&algorithm, attribute, &value, sizeof(value), &written),
        "cublasLtMatmulAlgoConfigGetAttribute");
  return value;
}

class cublaslt final : public product_library {
public:
  cublaslt() { check(cublasLtCreate(&handle_), "cublasLtCreate"); }
  ~cublaslt() override { cublasLtDestroy(handle_); }
  cublaslt(const cublaslt&) = delete;
  cublaslt& operator=(const cublaslt&) = delete;

  std::vector<library_algorithm> algorithms(const library_product& product) override {
    words said(product, nullptr);
    cublasLtMatmulPreferenceOpaque_t wish{};
    check(cublasLtMatmulPreferenceInit(&wish), "cublasLtMatmulPreferenceInit");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      check(cublasLtMatmulPreferenceSetAttribute(&wish, attribute, &value, sizeof(value)),
            "cublasLtMatmulPreferenceSetAttribute");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{0});
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE));
    for (const auto operand :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      prefer(operand, alignment);
    }
    std::array<cublasLtMatmulHeuristicResult_t, most_algorithms> found{};
    int count = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle_, &said.product, &said.a, &said.b, &said.d,
                                                                 &said.d, &wish, most_algorithms, found.data(), &count);
    if (has_none(status)) {
      return {};
    }
    check(status, "cublasLtMatmulAlgoGetHeuristic");
    std::vector<library_algorithm> all;
    for (int i = 0; i < count; ++i) {
      const cublasLtMatmulHeuristicResult_t& one = found[static_cast<size_t>(i)];
      if (one.state != CUBLAS_STATUS_SUCCESS) {
        continue;
      }
      all.push_back({.opaque = std::bit_cast<std::array<uint64_t, 8>>(one.algo),
                     .id = attribute_of(one.algo, CUBLASLT_ALGO_CONFIG_ID),
                     .stages = attribute_of(one.algo, CUBLASLT_ALGO_CONFIG_STAGES_ID),
                     .splits = attribute_of(one.algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM)});
    }
    return all;
  }

  bool run(stream_t stream, const library_product& product, const library_operands& operands,
           const library_algorithm& algorithm) override {
    words said(product, operands.bias);
    const float one = 1.0F;
    const float kept = product.accumulate ? 1.0F : 0.0F;
    const auto how = std::bit_cast<cublasLtMatmulAlgo_t>(algorithm.opaque);
    const cublasStatus_t status =
        cublasLtMatmul(handle_, &said.product, &one, operands.a, &said.a, operands.b, &said.b, &kept, operands.d,
                       &said.d, operands.d, &said.d, &how, nullptr, 0, stream);
    if (has_none(status)) {
      return false;
    }
    check(status, "cublasLtMatmul");
    return true;
  }

private:
  cublasLtHandle_t handle_ = nullptr;
};

}  // namespace

std::unique_ptr<product_library> open_cublaslt() { return std::make_unique<cublaslt>(); }

}  // namespace troupe::kernels::cuda
