/// Where Git LFS keeps a file's contents elsewhere, a small text stands in their place until they are fetched.
#pragma once

#include <string_view>

namespace troupe::io {

/// How that text begins.
inline constexpr std::string_view lfs_pointer = "version https://git-lfs.github.com/spec/";

/// What such a file is, with the remedy.
inline constexpr const char* lfs_pointer_told =
    "a pointer of Git LFS, not the file itself: fetch that with git lfs pull";

}  // namespace troupe::io
