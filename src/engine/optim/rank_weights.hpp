/// What a rank holds of a model's weights, which are float32 or bfloat16: all of them, or (ZeRO stage 3) its shard, and
/// of the rest what is in use.
///
/// Memory   A sharded arena keeps its addresses; the pages of other ranks' parts come with a gather and go again.
///          Between uses there is the shard alone, about A / R. A pass takes at most two segments beside it: the one
///          in use and the one fetched ahead.
/// Traffic  bytes that rank r sends in all_gathers (P_r: of its shard, p_s: of its part of segment s; L blocks), for
///          each pass of a batch or step of an accumulation, the first of its gathered_weights:
///            scoring   (R - 1) P_r, and where the head is tied (R - 1) p_0 more
///            training  (R - 1) (2 P_r - p_0 - p_L - p_(L+1)): what forward used last is still there for
///                      backward, and the token table is not read again; where the head is tied (R - 1) 2 P_r
///          and (R - 1) p_0 more in training where embeddings are projected or normalised. Checkpointing adds
///          nothing. What one pass leaves of the segments that the next begins with is not fetched again.
#pragma once

#include "engine/arena/paged_arena.hpp"
#include "engine/arena/shards.hpp"
#include "engine/models/weight_access.hpp"
#include "engine/parallel/communicator.hpp"

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace troupe::engine {

class rank_weights {
public:
  /// All of an arena of `size` values (f32 or bf16), zero at first.
  /// Errors  out_of_memory.
  explicit rank_weights(int64_t size, dtype type = dtype::f32, const arena_place& at = {});

  /// The same, sharded from the beginning: on a card there is never memory for more than the rank's parts.
  /// Errors  those of `shard`; out_of_memory.
  rank_weights(const shard_plan_ptr& plan, communicator_ptr group, dtype type, const arena_place& at = {});

  /// From now on this rank keeps its parts only. `group` exchanges host memory, wherever the weights lie; it is for
  /// gathers of these weights and nothing else; of one rank: all stays as it was.
  /// Errors  bad_argument: another size or number of ranks than the plan's.
  void shard(shard_plan_ptr plan, communicator_ptr group);
  bool sharded() const { return plan_ != nullptr; }
  const shard_plan_ptr& plan() const { return plan_; }      ///< null: all is here
  const communicator_ptr& group() const { return group_; }  ///< as given; null: all is here

  /// Gives back what others hold. For whoever has written whole parameters: a file's reader calls it after each.
  void drop_others();

  /// What is here, of weights that are not sharded; of them nothing is left but their type.
  paged_arena take_away() { return std::exchange(arena_, paged_arena(0, arena_.type())); }

  reals data() { return arena_.data(); }
  const_reals data() const { return arena_.data(); }
  int64_t size() const { return arena_.size(); }
  device* on() const { return arena_.on(); }  ///< the card that they lie on; null: host memory
  dtype type() const { return arena_.type(); }
  // Of float32 alone:
  float* begin() { return data(); }
  float* end() { return begin() + size(); }
  const float* begin() const { return data(); }
  const float* end() const { return begin() + size(); }

private:
  friend class gathered_weights;
  void drop_others(int64_t segment);

  paged_arena arena_;
  shard_plan_ptr plan_;
  communicator_ptr group_;
  communicator_ptr arenas_;  ///< the same ranks, for what lies where the weights do
  bool gathered_ = false;    ///< by a gathered_weights
};

/// The use of a model's weights by passes: of sharded ones, segments are in memory while it lives, and none
/// afterwards. So it must end before the weights change. All ranks make theirs, and run their passes, in the same
/// order.
class gathered_weights final : public weight_access {
public:
  /// Errors  bad_argument: sharded weights are in use already.
  explicit gathered_weights(rank_weights& of);
  gathered_weights(const gathered_weights&) = delete;
  gathered_weights& operator=(const gathered_weights&) = delete;
  ~gathered_weights() override;

  /// For passes. Without access where the weights are not sharded.
  weights_view view() { return {of_.data(), of_.sharded() ? this : nullptr}; }

  void prefetch(int64_t segment) override;
  void acquire(context& ctx, int64_t segment) override;
  void release(int64_t segment) override;

  /// Fetches all segments, until this object ends: for generation, which has no collective in its loop.
  void hold_all(context& ctx);

  /// Values of a rank at most while a pass uses the weights: its shard, and of two neighbouring segments all.
  static int64_t most_values(const shard_plan& plan, int rank);

  /// The most that has been in memory at a time beside the shard.
  int64_t peak_bytes() const { return peak_ * size_of(of_.type()); }

private:
  struct segment_state {
    bool present = false;  ///< or on its way
    bool wanted = false;   ///< prefetched, not acquired yet
    int holds = 0;
    pending fetching;
  };

  int64_t others_size(int64_t segment) const;
  void fetch(int64_t segment);
  void drop_idle();

  rank_weights& of_;
  std::vector<segment_state> segments_;
  int64_t present_ = 0, peak_ = 0;  ///< values of others
};

}  // namespace troupe::engine
