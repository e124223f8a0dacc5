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

kv_cache::kv_cache(const model_description& model, int64_t pages, device* on, dtype type)
    : page_floats_(floats_per_page(model)), layers_(static_cast<size_t>(model.layers)), on_(on), type_(type),
      memory_(nullptr, [on](void* range) {
        if (on == nullptr) {
          std::free(range);
        } else {
          on->free(static_cast<std::byte*>(range));
        }
      }) {
  if (pages < 1 || pages > std::numeric_limits<int32_t>::max() ||
      pages > std::numeric_limits<int64_t>::max() / 2 / page_bytes(model, type)) {
    throw error(errc::bad_argument, "a cache of {} pages of {} bytes: give it 1 to {} pages", pages,
                page_bytes(model, type), std::numeric_limits<int32_t>::max());
  }
  owners_.assign(static_cast<size_t>(pages), 0);
  free_.resize(static_cast<size_t>(pages));
  // The lowest page lies on top of the stack.
  std::iota(free_.rbegin(), free_.rend(), 0);
}

int64_t kv_cache::page_bytes(const model_description& model, dtype type) {
  return 2 * model.layers * floats_per_page(model) * size_of(type);
}

int64_t kv_cache::pages_for(int64_t positions) { return divide_up(positions, kernels::attention_tile); }

int64_t kv_cache::bytes() const {
  return 2 * static_cast<int64_t>(layers_.size()) * pages() * page_floats_ * size_of(type_);
}

/// calloc's pages come into being when they are first written to: an unused budget costs nothing.
std::byte* kv_cache::host_memory() {
  auto space = static_cast<size_t>(bytes()) + alignment_bytes;
  memory_.reset(std::calloc(space, 1));
  if (memory_ == nullptr) {
    throw error(errc::out_of_memory, "cannot allocate {} bytes for the key/value cache: give it fewer pages than {}",
                bytes(), pages());
  }
  void* start = memory_.get();
  return static_cast<std::byte*>(std::align(alignment_bytes, static_cast<size_t>(bytes()), start, space));
}

std::byte* kv_cache::card_memory() {
  if (memory_ == nullptr) {
    memory_.reset(on_->reserve(bytes(), "keys and values"));
  }
  auto* const start = static_cast<std::byte*>(memory_.get());
  on_->map(start, bytes());
  return start;
}

void kv_cache::allocate() {
  const int64_t layer_values = pages() * page_floats_;
  auto next = reals(on_ == nullptr ? host_memory() : card_memory(), type_);
  for (kernels::kv_pages& layer : layers_) {
    layer.keys = next;
    layer.values = next + layer_values;
    next = next + 2 * layer_values;
  }
}

void kv_cache::copy(reals to, const_reals from) const {
  const int64_t bytes = page_floats_ * size_of(type_);
  if (on_ != nullptr) {
    on_->copy(queue::compute, to.data(), from.data(), bytes);
  } else {
    std::memcpy(to.data(), from.data(), static_cast<size_t>(bytes));
  }
}

std::optional<int32_t> kv_cache::acquire() {
  if (free_.empty()) {
    return std::nullopt;
  }
  if (layers_.front().keys == nullptr) {
    allocate();
  }
  const int32_t page = free_.back();
  free_.pop_back();
  owners_[static_cast<size_t>(page)] = 1;
  for (size_t layer = 0; layer < layers_.size() && on_ == nullptr; ++layer) {
    for (const reals half : {layers_[layer].keys, layers_[layer].values}) {
      std::memset((half + page * page_floats_).data(), 0, static_cast<size_t>(page_floats_ * size_of(type_)));
    }
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
    for (const reals half : {layer.keys, layer.values}) {
      copy(half + to * page_floats_, half + from * page_floats_);
    }
  }
}

void kv_cache::release_memory() {
  if (free_pages() != pages()) {
    throw error(errc::bad_argument, "{} of the cache's {} pages are in use: its memory cannot be released",
                pages() - free_pages(), pages());
  }
  std::fill(layers_.begin(), layers_.end(), kernels::kv_pages{});
  if (on_ == nullptr) {
    memory_.reset();
  } else if (memory_ != nullptr) {
    on_->unmap(static_cast<std::byte*>(memory_.get()), bytes());
  }
}

}  // namespace troupe::engine
