/// Pages of keys and values for all layers of a model, reference-counted. A page number is good for
/// every layer. Memory is taken on first use and, in host memory, touched page by page as pages are handed out;
/// `release_memory` gives it back. On a card its address stays the same for life.
#pragma once

#include "base/device.hpp"
#include "base/reals.hpp"
#include "engine/models/description.hpp"
#include "kernels/attention.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace troupe::engine {

class kv_cache {
public:
  /// Room for `pages` pages of kernels::attention_tile positions.
  /// Errors  bad_argument: pages < 1.
  /// On a card (which outlives it) where `on` is set; of the type of what is computed.
  kv_cache(const model_description& model, int64_t pages, device* on = nullptr, dtype type = dtype::f32);

  /// Bytes of a page in all layers, keys and values.
  static int64_t page_bytes(const model_description& model, dtype type = dtype::f32);
  /// Pages that `positions` of one sequence take.
  static int64_t pages_for(int64_t positions);

  /// A page with one owner, zeroed in host memory; empty when all are in use.
  /// Errors  out_of_memory.
  std::optional<int32_t> acquire();
  /// One more owner, and one fewer.
  void share(int32_t page);
  void release(int32_t page);
  int64_t owners(int32_t page) const { return owners_[static_cast<size_t>(page)]; }
  /// Copies a page in every layer: for an owner that wants to write into a page that others own
  /// too.
  void copy(int32_t from, int32_t to);

  int64_t pages() const { return static_cast<int64_t>(owners_.size()); }
  int64_t free_pages() const { return static_cast<int64_t>(free_.size()); }

  /// The layers' page arrays, for paged_batch. Null until a page is first acquired, and after release_memory.
  std::span<const kernels::kv_pages> layers() const { return layers_; }

  /// Frees the memory; no page may be in use.
  void release_memory();

private:
  int64_t bytes() const;  ///< of all pages
  void allocate();
  std::byte* host_memory();
  std::byte* card_memory();
  void copy(reals to, const_reals from) const;

  int64_t page_floats_ = 0;                ///< of keys, or of values, in one layer
  std::vector<kernels::kv_pages> layers_;  ///< null while there is no memory
  std::vector<int32_t> owners_;            ///< per page
  std::vector<int32_t> free_;              ///< a stack
  device* on_;
  dtype type_;
  std::unique_ptr<void, std::function<void(void*)>> memory_;  ///< on a card a range, with pages or without
};

}  // namespace troupe::engine
