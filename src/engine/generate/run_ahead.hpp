/// Steps of single tokens that a card computes ahead of the host: which sequences each has. Private to this folder.
#pragma once

#include "engine/generate/card_decoder.hpp"
#include "engine/generate/kv_cache.hpp"
#include "engine/generate/sequence.hpp"

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

namespace troupe::engine {

/// The steps follow each other: each has the sequences of the one before, but for those that have ended or reach their
/// length. What is computed of a sequence after it has ended is dropped.
class run_ahead {
public:
  /// As of card_decoder.
  run_ahead(const inference_model& net, const_reals weights, kv_cache& cache, device& on, int64_t steps)
      : cache_(cache), decoder_(net, weights, cache, on, steps) {}

  /// Whether these may be the first step: each has one token to compute, and samples by itself.
  static bool takes(std::span<sequence* const> sequences);

  bool under_way() const { return !steps_.empty(); }
  int64_t rows() const { return static_cast<int64_t>(steps_.back().size()); }  ///< of the last step under way

  /// The first step; their pages for it are there.
  /// Errors  out_of_memory, device_failure.
  void begin(context& ctx, std::vector<sequence*> sequences);

  /// One step more. False: as many as may be are under way, no sequence goes on, or pages for it are short.
  /// Errors  out_of_memory, device_failure.
  bool follow(context& ctx);

  /// Waits for the oldest step. Sets `drawn` of its sequences, which are returned.
  /// Errors  not_finite: a logit is NaN or infinite (names the sequence), and nothing is under way any more;
  ///         device_failure.
  std::vector<sequence*> take();

  /// The sequence has ended.
  void forget(const sequence& ended);

  /// Nothing is under way any more; what was is dropped.
  void drop();

  const card_decoder& decoder() const { return decoder_; }
  int64_t dropped_tokens() const { return dropped_tokens_; }

private:
  using step = std::vector<sequence*>;  ///< by row; null: it has ended

  void launch(context& ctx, const std::vector<decode_row>& rows);

  kv_cache& cache_;
  card_decoder decoder_;
  std::deque<step> steps_;  ///< under way; the first has a sequence that goes on
  int64_t dropped_tokens_ = 0;
};

}  // namespace troupe::engine
