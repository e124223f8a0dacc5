/// A rank's part of a model that a group of ranks generates with: the other half of the hybrid engine. Its weights
/// are a second, smaller arena, made anew from the trained one for each rollout and given back behind it.
#pragma once

#include "base/context.hpp"
#include "engine/arena/paged_arena.hpp"
#include "engine/models/inference_model.hpp"
#include "engine/models/weight_access.hpp"
#include "engine/tensor_parallel/columns.hpp"

#include <cstdint>

namespace troupe::engine {

class column_model {
public:
  /// Ranks of `group` generate with `whole`, which outlives this and whose weights are of `type`; one rank alone has
  /// a copy of it. `group` takes arrays that lie where the part is run (parallel/between_cards.hpp). `at`: where the
  /// whole model's weights lie, and so the part's.
  /// Errors  bad_argument: those of split_columns.
  column_model(const inference_model& whole, const communicator_ptr& group, dtype type = dtype::f32,
               const arena_place& at = {});

  /// What a generator on every rank of the group takes: given the same requests and settings, it makes the same calls
  /// everywhere. Where the cache's pages come from a budget of bytes, all count with the largest: rank 0's.
  const inference_model& net() const { return net_; }
  const_reals weights() const { return arena_.data(); }  ///< stays where it is, filled or not

  /// Takes this rank's rows from the arena of `whole`, a segment at a time; `ctx` computes where it lies. Where
  /// `access` is not null, it fetches each segment before; that is collective among the ranks that share `whole`.
  /// Errors  lost_peer, out_of_memory.
  void fill(context& ctx, const_reals whole_weights, weight_access* access);

  /// Gives the memory back.
  void release() { arena_.release(0, arena_.size()); }

  device* on() const { return arena_.on(); }  ///< the card that the weights lie on; null: host memory
  int64_t bytes() const { return arena_.bytes(); }

private:
  void copy(context& ctx, const_reals whole_weights, size_t index);

  const inference_model& whole_;
  column_split split_;
  inference_model net_;
  paged_arena arena_;
};

/// The rows of a parameter of the whole model that are in a share, in the share's order.
std::vector<row_range> rows_of(const model_description& whole, const model_share& share, const parameter& of_whole);

}  // namespace troupe::engine
