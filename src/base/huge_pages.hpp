/// Pages of 2 MiB for memory that kernels stream through. A decode step reads every weight once:
/// with pages of 4 KiB the walk through the page tables, not the memory, limits how fast (16
/// against 32 GB/s per core of a virtual machine).
#pragma once

#include <cstddef>

namespace troupe {

inline constexpr size_t huge_page_bytes = size_t{2} << 20;

/// Asks the system for huge pages wherever [memory, memory + bytes) holds a whole one. To be called before the memory
/// is first written to, since a page that is there stays as it is. A system that has none to give gives small ones.
void prefer_huge_pages(void* memory, size_t bytes);

/// From now on new pages of [memory, memory + bytes) are small ones, so that they can be given back one by one.
void prefer_small_pages(void* memory, size_t bytes);

}  // namespace troupe
