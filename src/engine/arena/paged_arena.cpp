#include "engine/arena/paged_arena.hpp"

#include "base/device.hpp"
#include "base/error.hpp"
#include "base/huge_pages.hpp"
#include "base/round_up.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace troupe::engine {

/// Of the host. A full vector load of the last values stays inside.
static size_t mapped_bytes(const paged_arena& arena) { return static_cast<size_t>(arena.bytes()) + 64; }

paged_arena::paged_arena(int64_t size, dtype type, const arena_place& at) : size_(size), type_(type), on_(at.on) {
  if (size == 0) {
    return;
  }
  if (on_ != nullptr) {
    data_ = on_->reserve(bytes(), at.holder);
    taken_P_.resize(static_cast<size_t>(divide_up(bytes(), on_->page_bytes())));
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
  if (data_ == nullptr) {
    return;
  }
  if (on_ != nullptr) {
    on_->free(data_);
  } else {
    ::munmap(data_, mapped_bytes(*this));
  }
}

paged_arena::paged_arena(paged_arena&& other) noexcept { swap(other); }

paged_arena& paged_arena::operator=(paged_arena&& other) noexcept {
  swap(other);
  return *this;
}

void paged_arena::swap(paged_arena& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(type_, other.type_);
  std::swap(releases_, other.releases_);
  std::swap(on_, other.on_);
  std::swap(taken_P_, other.taken_P_);
}

/// Calls body(first, last) for each run of pages of [first, last) that are taken, or are not.
template <class Body>
static void runs_of(const std::vector<bool>& taken_P, bool taken, int64_t first, int64_t last, const Body& body) {
  const auto at = [&](int64_t page) { return taken_P.begin() + page; };
  while (first < last) {
    const int64_t begin = std::find(at(first), at(last), taken) - taken_P.begin();
    const int64_t end = std::find(at(begin), at(last), !taken) - taken_P.begin();
    if (begin < end) {
      body(begin, end);
    }
    first = end;
  }
}

void paged_arena::take(int64_t first, int64_t last) {
  if (on_ == nullptr || first >= last) {
    return;
  }
  const int64_t page = on_->page_bytes();
  const int64_t end = divide_up(last * size_of(type_), page);
  runs_of(taken_P_, false, first * size_of(type_) / page, end, [&](int64_t from, int64_t to) {
    on_->map(data_ + from * page, (to - from) * page);
    on_->zero(queue::compute, data_ + from * page, (to - from) * page);
    std::fill(taken_P_.begin() + from, taken_P_.begin() + to, true);
  });
}

void paged_arena::release(int64_t first, int64_t last) {
  if (data_ == nullptr || first >= last) {
    return;
  }
  const int64_t begin = first * size_of(type_);
  const int64_t end = last * size_of(type_);
  on_ == nullptr ? release_host(begin, end) : release_card(begin, end);
}

void paged_arena::release_host(int64_t begin, int64_t end) {
  if (!releases_) {
    prefer_small_pages(data_, mapped_bytes(*this));
    releases_ = true;
  }
  static const int64_t page = ::sysconf(_SC_PAGESIZE);
  const int64_t first_page = round_up(begin, page);
  const int64_t last_page = end / page * page;
  const bool released = first_page < last_page &&
                        ::madvise(data_ + first_page, static_cast<size_t>(last_page - first_page), MADV_DONTNEED) == 0;
  if (!released) {
    clear_bytes(begin, end);
    return;
  }
  clear_bytes(begin, first_page);
  clear_bytes(last_page, end);
}

void paged_arena::release_card(int64_t begin, int64_t end) {
  const int64_t page = on_->page_bytes();
  const int64_t first_page = divide_up(begin, page);
  // Behind the last value there is nothing that its page could be kept for.
  const int64_t last_page = end == bytes() ? static_cast<int64_t>(taken_P_.size()) : end / page;
  if (first_page >= last_page) {
    clear_bytes(begin, end);
    return;
  }
  on_->unmap(data_ + first_page * page, (last_page - first_page) * page);
  std::fill(taken_P_.begin() + first_page, taken_P_.begin() + last_page, false);
  clear_bytes(begin, first_page * page);
  clear_bytes(last_page * page, end);
}

void paged_arena::clear(int64_t first, int64_t last) { clear_bytes(first * size_of(type_), last * size_of(type_)); }

/// Of a card's, what is taken: the rest is zero when it is.
void paged_arena::clear_bytes(int64_t begin, int64_t end) {
  if (data_ == nullptr || begin >= end) {
    return;
  }
  if (on_ == nullptr) {
    std::memset(data_ + begin, 0, static_cast<size_t>(end - begin));
    return;
  }
  const int64_t page = on_->page_bytes();
  runs_of(taken_P_, true, begin / page, divide_up(end, page), [&](int64_t from, int64_t to) {
    const int64_t first = std::max(begin, from * page);
    on_->zero(queue::compute, data_ + first, std::min(end, to * page) - first);
  });
}

}  // namespace troupe::engine
