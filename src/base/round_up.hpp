/// Whole numbers of whole pieces.
#pragma once

#include <concepts>

namespace troupe {

/// How many pieces of `each` hold `count`: the quotient, rounded up. Both are non-negative, `each` above 0.
template <std::integral T> constexpr T divide_up(T count, T each) { return (count + each - 1) / each; }

/// The least multiple of `each` that is at least `count`.
template <std::integral T> constexpr T round_up(T count, T each) { return divide_up(count, each) * each; }

}  // namespace troupe
