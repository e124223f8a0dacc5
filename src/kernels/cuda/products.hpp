/// The large products of kernels/matrix.hpp by a vendor's library, which is faster than our kernels, where that changes
/// no bit that anyone relies on.
///
/// y = x W^T + bias  An answer's rows are computed in small batches when it is generated, and in large ones when it is
///                   learned from, and must be the same. So the library computes y only by an algorithm that was seen
///                   to give the bits of our kernel, on random rows and the weights at hand, for numbers of rows like
///                   those asked for; and only above `least_rows`. Where it has none, our kernel does all of it.
/// dx, dW            The first algorithm that the library names and that does not split the inner dimension: the same
///                   whenever the same product is asked for.
///
/// Float32 operands, and what a library cannot take (addresses, strides), go to our kernels.
#pragma once

#include "kernels/cuda/product_library.hpp"
#include "kernels/matrix.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace troupe::kernels::cuda {

/// Up to here our kernels for few rows are as fast.
inline constexpr int64_t least_rows = 65;

/// Not for several threads at once.
class products {
public:
  /// Our kernels.
  struct own_kernels {
    void (*forward)(context&, const linear_args&);
    void (*backward_input)(context&, const linear_backward_input_args&);
    void (*backward_weight)(context&, const linear_backward_weight_args&);
  };

  /// `tell` gets each line of `choices` when it is new; may be null.
  products(product_library& library, own_kernels own, std::function<void(const std::string&)> tell)
      : library_(library), own_(own), tell_(std::move(tell)) {}

  /// `may_try`: nothing is being recorded, so that algorithms may be tried where this is the first product of its kind.
  void forward(context& ctx, const linear_args& args, bool may_try);
  void backward_input(context& ctx, const linear_backward_input_args& args);
  void backward_weight(context& ctx, const linear_backward_weight_args& args);

  /// A line for each kind of product so far: who computes it.
  const std::vector<std::string>& choices() const { return lines_; }

private:
  enum class operation { y, dx, dw };
  /// Products for which one choice is made: as many rows as a power of two, at least half as many.
  using kind = std::tuple<operation, int64_t, int64_t, int64_t, dtype, bool, bool>;
  using choice = std::optional<library_algorithm>;  ///< nothing: our kernel

  std::vector<library_algorithm> offered(const library_product& product);
  bool run(stream_t stream, const library_product& product, const library_operands& operands,
           const library_algorithm& algorithm);
  choice tried(context& ctx, const linear_args& args, int64_t rows);
  choice first(const kind& of, const library_product& product);
  void note(const kind& of, const choice& chosen, size_t others);

  product_library& library_;
  own_kernels own_;
  std::function<void(const std::string&)> tell_;
  std::map<kind, choice> chosen_;
  std::vector<std::string> lines_;
};

/// How the library sees each product; strides of 0 have been replaced.
library_product forward_product(const linear_args& args);
library_product backward_input_product(const linear_backward_input_args& args);
library_product backward_weight_product(const linear_backward_weight_args& args);

}  // namespace troupe::kernels::cuda
