/// A model's weights on a card, where passes read them: a copy of what stands in host memory, in the type that the card
/// computes in.
///
/// Memory   Whole weights are sent when they are first used, and again where they have changed since; in between they
///          stay. Of weights that ranks share (ZeRO stage 3) the segments in use are there alone, as rank_weights.hpp
///          has them in host memory: each comes when a pass asks for it, and is sent on.
/// Traffic  to the card: an arena after each update; of shared weights each segment that a pass asks for.
#pragma once

#include "base/device.hpp"
#include "engine/arena/card_arena.hpp"
#include "engine/models/inference_model.hpp"
#include "engine/optim/rank_weights.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe::engine {

class card_weights final : public weight_access {
public:
  /// `of`, and the card that computes, outlive it. `type`: f32 or bf16. `holder` is named where the card's memory runs
  /// out: "policy weights".
  card_weights(const inference_model& of, dtype type, std::string holder)
      : plan_(undivided(of.layout())), type_(type), holder_(std::move(holder)) {}
  card_weights(const card_weights&) = delete;
  card_weights& operator=(const card_weights&) = delete;
  ~card_weights() override;

  /// The weights in host memory have changed.
  void outdate() { outdated_ = true; }

  /// For passes on `ctx.on`, from those in host memory, whose view outlives the use.
  /// Errors  out_of_memory, device_failure.
  weights_view begin_use(context& ctx, const weights_view& host);
  void end_use();
  /// Of weights that are not in use: gives their memory back.
  void give_back();

  dtype type() const { return type_; }

  void prefetch(int64_t segment) override;
  void acquire(context& ctx, int64_t segment) override;
  void release(int64_t segment) override;

private:
  struct segment_state {
    bool present = false;
    int holds = 0;
  };

  reals data() const { return {arena_, type_}; }
  void send(context& ctx, int64_t segment);
  void unmap(int64_t segment);
  void drop_idle();

  shard_plan plan_;  ///< of one rank: for its segments
  dtype type_;
  std::string holder_;
  device* on_ = nullptr;
  std::byte* arena_ = nullptr;
  bool outdated_ = true;
  staging through_;

  std::optional<weights_view> host_;     ///< while in use
  std::vector<segment_state> segments_;  ///< where ranks share the weights
};

/// The use of a model's weights by passes, wherever they compute: see gathered_weights, whose rules hold here too.
class weights_in_use {
public:
  /// `on_card`: where passes read; null: in host memory.
  weights_in_use(context& ctx, rank_weights& of, card_weights* on_card);
  weights_in_use(const weights_in_use&) = delete;
  weights_in_use& operator=(const weights_in_use&) = delete;
  ~weights_in_use();

  /// For passes.
  const weights_view& view() const { return view_; }

  /// Fetches all segments, until this object ends: for generation, which has no collective in its loop.
  void hold_all(context& ctx);

private:
  gathered_weights gathered_;
  card_weights* on_card_;
  int64_t segments_ = 0;
  weights_view view_;
};

}  // namespace troupe::engine
