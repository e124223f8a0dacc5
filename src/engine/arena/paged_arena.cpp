#include "engine/arena/paged_arena.hpp"

#include "base/error.hpp"
#include "base/huge_pages.hpp"
#include "base/round_up.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace troupe::engine {

/// A full vector load of the last values stays inside.
static size_t bytes_of(int64_t size) { return static_cast<size_t>(size) * sizeof(float) + 64; }

paged_arena::paged_arena(int64_t size) : size_(size) {
  if (size == 0) {
    return;
  }
  const size_t bytes = bytes_of(size);
  void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) {
    throw error(errc::out_of_memory, "cannot map {} bytes", bytes);
  }
  data_ = static_cast<float*>(mapped);
  prefer_huge_pages(mapped, bytes);
}

paged_arena::~paged_arena() {
  if (data_ != nullptr) {
    ::munmap(data_, bytes_of(size_));
  }
}

paged_arena::paged_arena(paged_arena&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)),
      releases_(std::exchange(other.releases_, false)) {}

paged_arena& paged_arena::operator=(paged_arena&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(releases_, other.releases_);
  return *this;
}

void paged_arena::release(int64_t first, int64_t last) {
  if (data_ == nullptr || first >= last) {
    return;
  }
  if (!releases_) {
    prefer_small_pages(data_, bytes_of(size_));
    releases_ = true;
  }
  static const int64_t page_floats = ::sysconf(_SC_PAGESIZE) / static_cast<int64_t>(sizeof(float));
  const int64_t first_page = round_up(first, page_floats);
  const int64_t last_page = last / page_floats * page_floats;
  const auto clear = [this](int64_t from, int64_t to) {
    std::memset(data_ + from, 0, static_cast<size_t>(to - from) * sizeof(float));
  };
  const bool released =
      first_page < last_page &&
      ::madvise(data_ + first_page, static_cast<size_t>(last_page - first_page) * sizeof(float), MADV_DONTNEED) == 0;
  if (!released) {
    clear(first, last);
    return;
  }
  clear(first, first_page);
  clear(last_page, last);
}

}  // namespace troupe::engine
