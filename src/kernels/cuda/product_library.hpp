/// Matrix products of a vendor's library, as cuBLASLt counts: matrices are stored column by column.
#pragma once

#include "base/dtype.hpp"
#include "kernels/cuda/card_work.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace troupe::kernels::cuda {

/// D [m, n] = A [m, k] B [k, n] (+ bias_m | + D), of bfloat16 operands, added up in float32.
struct library_product {
  int64_t m = 0, n = 0, k = 0;
  int64_t a_stride = 0, b_stride = 0, d_stride = 0;  ///< elements between two columns as they are stored
  bool a_transposed = false;                         ///< A is stored as [k, m]
  bool b_transposed = false;                         ///< B is stored as [n, k]
  dtype d_type = dtype::bf16;                        ///< or f32; the bias has the same
  bool bias = false;                                 ///< along m
  bool accumulate = false;
};

struct library_operands {
  void* d = nullptr;
  const void *a = nullptr, *b = nullptr, *bias = nullptr;
};

/// One way to compute a product. What `opaque` means, the library knows.
struct library_algorithm {
  std::array<uint64_t, 8> opaque{};
  int id = 0, stages = 0;
  int splits = 1;  ///< of k, whose parts are added at the end: then a row's bits depend on how many rows there are
};

/// Errors of all: out_of_memory, device_failure, with the card's name.
class product_library {
public:
  virtual ~product_library() = default;
  /// Those that the library expects to be fastest go first. None needs memory of its own or adds parts at the end by
  /// atomics. Always the same for the same product.
  virtual std::vector<library_algorithm> algorithms(const library_product& product) = 0;
  /// Starts it in a queue's stream. False: this algorithm does not compute this product.
  virtual bool run(stream_t stream, const library_product& product, const library_operands& operands,
                   const library_algorithm& algorithm) = 0;
};

}  // namespace troupe::kernels::cuda
