/// A sequence on its way through the generator, and its pages. Private to this folder.
#pragma once

#include "engine/generate/generator.hpp"
#include "engine/generate/kv_cache.hpp"
#include "kernels/sampling.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace troupe::engine {

struct sequence {
  std::shared_ptr<const generation_request> request;
  uint64_t id = 0;
  int64_t turn = 0;             ///< order of submission: who goes first, and who gives way last
  std::vector<int32_t> tokens;  ///< prompt, then answer
  std::vector<float> logprobs;  ///< of the answer
  int64_t limit = 0;            ///< tokens at which the answer ends

  std::vector<int32_t> pages;    ///< page table
  int64_t cached = 0;            ///< tokens whose keys and values are in the pages
  int64_t computed = 0;          ///< the largest `cached` so far: below it, work is repeated
  int64_t rows = 0;              ///< tokens that this step computes
  int64_t ahead = 0;             ///< steps under way on a card that compute a token of it each
  kernels::sampled_token drawn;  ///< in this step

  /// The other samples of the same prompt. They start, with these pages, when the prompt is
  /// computed.
  std::vector<std::unique_ptr<sequence>> followers;

  int64_t length() const { return static_cast<int64_t>(tokens.size()); }
  int64_t pending() const { return length() - cached; }
  std::span<const int32_t> answer() const { return std::span(tokens).subspan(request->prompt.size()); }
};

/// The number by which the sequence's token number `token` is drawn.
double uniform_of(const sequence& s, int64_t token);

/// Errors  not_finite: the logits after the sequence's last token are.
[[noreturn]] void fail_not_finite(const sequence& s);

/// Makes the pages of the next `rows` positions the sequence's own, copying a partly filled one
/// that others share. False where the cache has too few; what it got, the sequence keeps.
bool reserve_pages(kv_cache& cache, sequence& s, int64_t rows);

/// Gives all pages back; the sequence starts from its first token again.
void release_pages(kv_cache& cache, sequence& s);

/// Lets `follower` go on from what `leader` has computed.
void share_pages(kv_cache& cache, const sequence& leader, sequence& follower);

}  // namespace troupe::engine
