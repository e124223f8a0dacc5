// A block of all pieces goes through the tree before the next, so that partial sums stay in the first-level cache and
// no piece need be writable.
#include "kernels/join.hpp"

#include "base/assert.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace troupe::kernels {

namespace {

constexpr int64_t block_size = 1024;
constexpr size_t deepest = 32;  // levels of a tree of 2^31 ranks

void add(float* __restrict sum, const float* __restrict left, const float* __restrict right, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    sum[i] = left[i] + right[i];
  }
}

void add_in_place(float* __restrict sum, const float* __restrict right, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    sum[i] += right[i];
  }
}

/// The partial sums of one block, like the digits of a binary counter.
class block_tree {
public:
  explicit block_tree(int64_t count) : count_(count) {}

  void push(const float* piece) {
    entries_[depth_++] = {piece, 0};
    while (depth_ > 1 && entries_[depth_ - 1].level == entries_[depth_ - 2].level) {
      join_last();
    }
  }

  const float* result() {
    while (depth_ > 1) {
      join_last();
    }
    return entries_[0].values;
  }

private:
  struct entry {
    const float* values;
    int level;
  };

  void join_last() {
    const float* right = entries_[depth_ - 1].values;
    entry& left = entries_[depth_ - 2];
    float* sum = sums_[depth_ - 2].data();
    if (left.values == sum) {
      add_in_place(sum, right, count_);
    } else {
      add(sum, left.values, right, count_);
    }
    left = {sum, left.level + 1};
    --depth_;
  }

  int64_t count_;
  size_t depth_ = 0;
  std::array<entry, deepest> entries_;
  std::array<std::array<float, block_size>, deepest> sums_;
};

}  // namespace

void join_pieces(std::span<const float* const> pieces_R, int64_t count, float* sum) {
  TROUPE_ASSERT(!pieces_R.empty());
  for (int64_t first = 0; first < count; first += block_size) {
    const int64_t size = std::min(block_size, count - first);
    block_tree tree(size);
    for (const float* piece : pieces_R) {
      tree.push(piece + first);
    }
    std::memmove(sum + first, tree.result(), static_cast<size_t>(size) * sizeof(float));
  }
}

}  // namespace troupe::kernels
