#include "base/assert.hpp"
#include "io/hdf5/hdf5.hpp"

#include <algorithm>

namespace troupe::io {
namespace {

/// Appends the blocks of the range [begin, end) of the sub-array below dimension `depth`, whose
/// leading indices are `prefix`. The first and last rows of the range may be partial: they recurse;
/// whole rows between are one block.
void append_blocks(const std::vector<int64_t>& shape, size_t depth, std::vector<int64_t>& prefix, int64_t begin,
                   int64_t end, std::vector<array_block>& blocks) {
  int64_t row = 1;  // elements of one index of dimension `depth`
  for (size_t d = depth + 1; d < shape.size(); ++d) {
    row *= shape[d];
  }
  const auto partial = [&](int64_t index, int64_t from, int64_t to) {
    prefix.push_back(index);
    append_blocks(shape, depth + 1, prefix, from, to, blocks);
    prefix.pop_back();
  };
  int64_t first = begin / row;
  if (begin % row != 0) {
    partial(first, begin % row, std::min(end - first * row, row));
    ++first;
  }
  const int64_t last = end / row;
  if (last > first) {
    array_block block{prefix, std::vector<int64_t>(prefix.size(), 1)};
    block.start.push_back(first);
    block.extent.push_back(last - first);
    block.start.resize(shape.size(), 0);
    block.extent.insert(block.extent.end(), shape.begin() + static_cast<ptrdiff_t>(depth) + 1, shape.end());
    blocks.push_back(std::move(block));
  }
  if (end % row != 0 && last >= first) {
    partial(last, 0, end % row);
  }
}

}  // namespace

std::vector<array_block> blocks_of_range(const std::vector<int64_t>& shape, int64_t begin, int64_t end) {
  TROUPE_ASSERT(begin >= 0 && begin <= end);
  std::vector<array_block> blocks;
  if (begin == end) {
    return blocks;
  }
  if (shape.empty()) {
    return {array_block{}};
  }
  std::vector<int64_t> prefix;
  append_blocks(shape, 0, prefix, begin, end, blocks);
  return blocks;
}

}  // namespace troupe::io
