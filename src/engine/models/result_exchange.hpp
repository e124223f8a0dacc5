/// Where the results of ranks that compute one model together become whole. A transformer says which result it is
/// about to compute, and when its own columns of it are written; whoever wraps the transformer brings the columns of
/// the others.
#pragma once

#include "base/context.hpp"
#include "base/reals.hpp"

#include <cstdint>
#include <functional>
#include <span>

namespace troupe::engine {

/// A result whose columns are divided among ranks.
enum class divided_result : uint8_t {
  attention,  ///< what the heads found, [N, H K]
  activated,  ///< units of the feed-forward behind the activation, [N, F]
  stream,     ///< what attention or feed-forward add to the residual stream, [N, D]
  logits,     ///< [N, V]
};

/// This class itself is for a model that computes everything alone. Arrays lie where the model computes.
class result_exchange {
public:
  /// Writes rows row_M of this rank's token table to y_ME.
  using table_lookup = std::function<void(std::span<const int32_t> row_M, reals y_ME)>;

  result_exchange() = default;
  result_exchange(const result_exchange&) = delete;
  result_exchange& operator=(const result_exchange&) = delete;
  virtual ~result_exchange() = default;

  /// Whether the host takes part, so that it waits for the card and the model's calls cannot be recorded.
  virtual bool needs_host() const { return false; }

  /// Where to write this rank's columns of a result that is to stand in whole_NO.
  virtual reals own_columns(context& /*ctx*/, divided_result, int64_t /*n*/, reals whole_NO) { return whole_NO; }

  /// whole_NO := the columns of all ranks, after own_columns with the same arguments. Collective.
  /// Errors  lost_peer.
  virtual void complete(context& /*ctx*/, divided_result, int64_t /*n*/, reals /*whole_NO*/) {}

  /// y_NE := the tokens' rows of the whole token table, E wide. Collective.
  /// Errors  bad_argument: a token outside of the vocabulary; lost_peer.
  virtual void look_up(context& /*ctx*/, std::span<const int32_t> token_N, int64_t /*width*/, reals y_NE,
                       const table_lookup& own) {
    own(token_N, y_NE);
  }
};

}  // namespace troupe::engine
