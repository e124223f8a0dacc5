#include "engine/generate/sequence.hpp"

#include "base/error.hpp"
#include "base/random.hpp"

#include <algorithm>

namespace troupe::engine {

double uniform_of(const sequence& s, int64_t token) {
  return random_uniform({s.request->seed, s.id, random_purpose::sampling}, static_cast<uint64_t>(token));
}

void fail_not_finite(const sequence& s) {
  throw error(errc::not_finite,
              "the logits after token {} of sequence {} are not finite: the weights have "
              "diverged or are damaged",
              s.length() - 1, s.id);
}

bool reserve_pages(kv_cache& cache, sequence& s, int64_t rows) {
  if (s.cached % kernels::attention_tile != 0) {
    int32_t& partly_filled = s.pages[static_cast<size_t>(s.cached / kernels::attention_tile)];
    if (cache.owners(partly_filled) > 1) {
      const auto own = cache.acquire();
      if (!own) {
        return false;
      }
      cache.copy(partly_filled, *own);
      cache.release(partly_filled);
      partly_filled = *own;
    }
  }
  const auto needed = static_cast<size_t>(kv_cache::pages_for(s.cached + rows));
  while (s.pages.size() < needed) {
    const auto page = cache.acquire();
    if (!page) {
      return false;
    }
    s.pages.push_back(*page);
  }
  return true;
}

void release_pages(kv_cache& cache, sequence& s) {
  for (const int32_t page : s.pages) {
    cache.release(page);
  }
  s.pages.clear();
  s.computed = std::max(s.computed, s.cached);
  s.cached = 0;
  s.rows = 0;
}

void share_pages(kv_cache& cache, const sequence& leader, sequence& follower) {
  for (const int32_t page : leader.pages) {
    cache.share(page);
  }
  follower.pages = leader.pages;
  follower.cached = leader.cached;
  follower.computed = leader.cached;
}

}  // namespace troupe::engine
