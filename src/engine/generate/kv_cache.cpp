#include "engine/generate/kv_cache.hpp"

#include "base/assert.hpp"
#include "base/error.hpp"
#include "base/round_up.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <numeric>

namespace troupe::engine {

namespace {

constexpr size_t alignment_bytes = 64;

/// Of keys, or of values, in one layer.
int64_t floats_per_page(const model_description& model) {
  return model.kv_heads * model.head_width * kernels::attention_tile;
}

}  // namespace

kv_cache::kv_cache(const model_description& model, int64_t pages)
    : page_floats_(floats_per_page(model)), layers_(static_cast<size_t>(model.layers)), memory_(nullptr, std::free) {
  if (pages < 1 || pages > std::numeric_limits<int32_t>::max() ||
      pages > std::numeric_limits<int64_t>::max() / 2 / page_bytes(model)) {
    throw error(errc::bad_argument, "a cache of {} pages of {} bytes: give it 1 to {} pages", pages, page_bytes(model),
                std::numeric_limits<int32_t>::max());
  }
  owners_.assign(static_cast<size_t>(pages), 0);
  free_.resize(static_cast<size_t>(pages));
  // The lowest page lies on top of the stack.
  std::iota(free_.rbegin(), free_.rend(), 0);
}

int64_t kv_cache::page_bytes(const model_description& model) {
  return 2 * model.layers * floats_per_page(model) * static_cast<int64_t>(sizeof(float));
}

int64_t kv_cache::pages_for(int64_t positions) { return divide_up(positions, kernels::attention_tile); }

void kv_cache::allocate() {
  const auto layer_floats = static_cast<size_t>(pages() * page_floats_);
  const size_t bytes = 2 * layers_.size() * layer_floats * sizeof(float);
  // calloc's pages come into being when they are first written to: an unused budget costs nothing.
  memory_.reset(std::calloc(bytes + alignment_bytes, 1));
  if (memory_ == nullptr) {
    throw error(errc::out_of_memory, "cannot allocate {} bytes for the key/value cache: give it fewer pages than {}",
                bytes, pages());
  }
  void* start = memory_.get();
  size_t space = bytes + alignment_bytes;
  auto* next = static_cast<float*>(std::align(alignment_bytes, bytes, start, space));
  for (kernels::kv_pages& layer : layers_) {
    layer.keys = next;
    layer.values = next + layer_floats;
    next += 2 * layer_floats;
  }
}

std::optional<int32_t> kv_cache::acquire() {
  if (free_.empty()) {
    return std::nullopt;
  }
  if (memory_ == nullptr) {
    allocate();
  }
  const int32_t page = free_.back();
  free_.pop_back();
  owners_[static_cast<size_t>(page)] = 1;
  const auto bytes = static_cast<size_t>(page_floats_) * sizeof(float);
  for (const kernels::kv_pages& layer : layers_) {
    std::memset(layer.keys + page * page_floats_, 0, bytes);
    std::memset(layer.values + page * page_floats_, 0, bytes);
  }
  return page;
}

void kv_cache::share(int32_t page) {
  TROUPE_ASSERT(owners_[static_cast<size_t>(page)] > 0);
  ++owners_[static_cast<size_t>(page)];
}

void kv_cache::release(int32_t page) {
  int32_t& owners = owners_[static_cast<size_t>(page)];
  TROUPE_ASSERT(owners > 0);
  if (--owners == 0) {
    free_.push_back(page);
  }
}

void kv_cache::copy(int32_t from, int32_t to) {
  for (const kernels::kv_pages& layer : layers_) {
    for (float* half : {layer.keys, layer.values}) {
      std::copy_n(half + from * page_floats_, page_floats_, half + to * page_floats_);
    }
  }
}

void kv_cache::release_memory() {
  if (free_pages() != pages()) {
    throw error(errc::bad_argument, "{} of the cache's {} pages are in use: its memory cannot be released",
                pages() - free_pages(), pages());
  }
  std::fill(layers_.begin(), layers_.end(), kernels::kv_pages{});
  memory_.reset();
}

}  // namespace troupe::engine
