/// A model's weights on a card, where passes read them: a copy of what stands in host memory, in the type that the card
/// computes in.
///
/// Memory   Whole weights are sent when they are first used, and again where they have changed since; in between they
///          stay. Of weights that ranks share (ZeRO stage 3) the segments in use are there alone, as rank_weights.hpp
///          has them in host memory: each comes when a pass asks for it, and is sent on. So it is with weights that
///          never change and stay in host memory (`streamed`): the segment in use and the next one are on the card. At
///          their first use they move into host memory in the order of the card, pinned as far as the system lets it.
/// Traffic  to the card: an arena after each update; of shared and of streamed weights each segment that a pass asks
///          for. Those of streamed ones come in the upload queue, while the segment before them is in use.
#pragma once

#include "base/aligned.hpp"
#include "base/device.hpp"
#include "engine/arena/card_arena.hpp"
#include "engine/models/inference_model.hpp"
#include "engine/optim/rank_weights.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe::engine {

enum class weights_stay : uint8_t {
  on_card,
  in_host_memory,  ///< weights that never change: passes have them streamed
};

class card_weights final : public weight_access {
public:
  /// `of`, and the card that computes, outlive it. `type`: f32 or bf16. `holder` is named where the card's memory runs
  /// out: "policy weights".
  card_weights(const inference_model& of, dtype type, std::string holder, weights_stay stay = weights_stay::on_card)
      : plan_(undivided(of.layout())), type_(type), holder_(std::move(holder)),
        streamed_(stay == weights_stay::in_host_memory) {}
  card_weights(const card_weights&) = delete;
  card_weights& operator=(const card_weights&) = delete;
  ~card_weights() override;

  /// The weights in host memory have changed.
  void outdate() { outdated_ = true; }

  /// Of weights that are to be streamed: takes away those in host memory, once. Not where ranks share them.
  /// Errors  out_of_memory, device_failure.
  void take_over(context& ctx, rank_weights& of);

  /// For passes on `ctx.on`, from those in host memory, whose view outlives the use.
  /// Errors  out_of_memory, device_failure.
  weights_view begin_use(context& ctx, const weights_view& host);
  void end_use();
  /// Of weights that are not in use: gives their memory back.
  void give_back();

  dtype type() const { return type_; }
  int64_t segments() const { return plan_.segments(); }

  void prefetch(int64_t segment) override;
  void acquire(context& ctx, int64_t segment) override;
  void release(int64_t segment) override;

private:
  struct segment_state {
    bool present = false;
    bool wanted = false;  ///< sent ahead, for who will acquire it
    int holds = 0;
    mark sent = 0;  ///< in the upload queue
  };
  /// A segment in host memory, in the order of the card.
  struct kept_segment {
    std::unique_ptr<pinned_memory> pinned;
    aligned_buffer<std::byte> pageable;  ///< where it is not pinned
    std::byte* data() { return pinned ? pinned->data() : pageable.data(); }
  };

  reals data() const { return {arena_, type_}; }
  int64_t bytes_of(int64_t segment) const { return plan_.segment(segment).size() * size_of(type_); }
  std::byte* at(int64_t segment) const { return arena_ + plan_.segment(segment).first * size_of(type_); }
  void stream(int64_t segment);
  void send(context& ctx, int64_t segment);
  void unmap(int64_t segment);
  void drop_idle();

  shard_plan plan_;  ///< of one rank: for its segments
  dtype type_;
  std::string holder_;
  bool streamed_;
  std::vector<kept_segment> kept_;  ///< by segment: of streamed weights
  device* on_ = nullptr;
  std::byte* arena_ = nullptr;
  bool outdated_ = true;
  staging through_;

  std::optional<weights_view> host_;     ///< while in use
  std::vector<segment_state> segments_;  ///< while in use, of weights that are shared or streamed
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
