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
static size_t mapped_bytes(const paged_arena& arena) { return static_cast<size_t>(arena.bytes()) + 64; }

paged_arena::paged_arena(int64_t size, dtype type) : size_(size), type_(type) {
  if (size == 0) {
    return;
  }
  const size_t bytes = mapped_bytes(*this);
  void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) {
    throw error(errc::out_of_memory, "cannot map {} bytes", bytes);
  }
  data_ = static_cast<std::byte*>(mapped);
  prefer_huge_pages(mapped, bytes);
}

paged_arena::~paged_arena() {
  if (data_ != nullptr) {
    ::munmap(data_, mapped_bytes(*this));
  }
}

paged_arena::paged_arena(paged_arena&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)), type_(other.type_),
      releases_(std::exchange(other.releases_, false)) {}

paged_arena& paged_arena::operator=(paged_arena&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(type_, other.type_);
  std::swap(releases_, other.releases_);
  return *this;
}

void paged_arena::release(int64_t first, int64_t last) {
  if (data_ == nullptr || first >= last) {
    return;
  }
  if (!releases_) {
    prefer_small_pages(data_, mapped_bytes(*this));
    releases_ = true;
  }
  static const int64_t page = ::sysconf(_SC_PAGESIZE);
  const int64_t begin = first * size_of(type_);
  const int64_t end = last * size_of(type_);
  const int64_t first_page = round_up(begin, page);
  const int64_t last_page = end / page * page;
  const auto clear = [this](int64_t from, int64_t to) { std::memset(data_ + from, 0, static_cast<size_t>(to - from)); };
  const bool released = first_page < last_page &&
                        ::madvise(data_ + first_page, static_cast<size_t>(last_page - first_page), MADV_DONTNEED) == 0;
  if (!released) {
    clear(begin, end);
    return;
  }
  clear(begin, first_page);
  clear(last_page, end);
}

}  // namespace troupe::engine
