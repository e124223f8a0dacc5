#include "base/huge_pages.hpp"

#include "base/round_up.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace troupe {

/// Of the pages that lie wholly within, so that no neighbour's memory is touched.
static void advise(void* memory, size_t bytes, size_t page_bytes, int advice) {
  const auto begin = round_up(reinterpret_cast<uintptr_t>(memory), page_bytes);
  const auto end = (reinterpret_cast<uintptr_t>(memory) + bytes) / page_bytes * page_bytes;
  if (begin < end) {
    // Refused where the kernel was built without huge pages: then there is nothing to choose.
    static_cast<void>(::madvise(reinterpret_cast<void*>(begin), end - begin, advice));
  }
}

void prefer_huge_pages(void* memory, size_t bytes) { advise(memory, bytes, huge_page_bytes, MADV_HUGEPAGE); }

void prefer_small_pages(void* memory, size_t bytes) {
  advise(memory, bytes, static_cast<size_t>(::sysconf(_SC_PAGESIZE)), MADV_NOHUGEPAGE);
}

}  // namespace troupe
