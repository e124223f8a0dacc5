/// One token each of many sequences, step after step, on a card: from recordings, so that a step costs the host some
/// three calls, and several steps under way at a time. A step is given the tokens of the one before it on the card.
///
/// Memory  Everything that a step reads and writes has an address that never changes: the step's arrays, which come in
///         one copy; hidden states, logits and scratch memory, apart for each number of rows; the tokens that are
///         drawn. Recordings therefore stay valid, also over pages of weights and cache that go and come again.
///         A recording is made for a number of rows (a step's are padded), of spans of keys, and with penalties or
///         without. Rows that pad touch no page.
/// Bits    A row's are those of any other call.
#pragma once

#include "base/context.hpp"
#include "base/device.hpp"
#include "base/reals.hpp"
#include "engine/generate/kv_cache.hpp"
#include "engine/generate/sequence.hpp"
#include "engine/models/inference_model.hpp"
#include "engine/models/workspace.hpp"
#include "engine/tensor/buffer.hpp"
#include "kernels/sampling.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <tuple>
#include <vector>

namespace troupe::engine {

/// Computes the token of a sequence that stands `of->ahead` tokens behind its last known one, and draws the next.
struct decode_row {
  sequence* of = nullptr;
  int32_t source = -1;  ///< the row of the step before that has drawn the token; -1: it is known
};

class card_decoder {
public:
  /// Of a step, padded.
  static constexpr int64_t row_counts[] = {16, 32, 64, 128, 256};
  static constexpr int64_t most_rows = 256;

  /// All but the settings outlive it. At most `steps` are under way at a time.
  card_decoder(const inference_model& net, const_reals weights, const kv_cache& cache, device& on, int64_t steps);
  ~card_decoder();

  /// Before the first of steps that follow each other, of these sequences.
  /// Errors  out_of_memory, device_failure.
  void begin(std::span<sequence* const> sequences);

  /// The next step, of 1 to most_rows rows whose pages are there. The host does not wait.
  /// Errors  out_of_memory, device_failure.
  void launch(context& ctx, std::span<const decode_row> rows);
  bool full() const { return under_way_ == slots_.size(); }

  /// What the oldest step under way has drawn, by row, until the next launch; token -1: its logits are not finite. The
  /// host waits for it alone.
  /// Errors  device_failure.
  std::span<const kernels::sampled_token> take();

  /// What is under way is of no use any more.
  void drop();

  int64_t recordings() const { return recordings_; }  ///< that were made
  int64_t replays() const { return replays_; }        ///< steps that ran from one

private:
  /// What a recording is for.
  struct shape {
    int64_t rows = 0, spans = 0;
    bool penalties = false;
    auto operator<=>(const shape&) const = default;
  };
  struct step_sheet;
  struct bucket {
    workspace scratch;
    buffer token_N, hidden_ND, logits_NV;
  };
  /// Of a step under way: its arrays on their way to the card, and its results on theirs back.
  struct slot {
    std::unique_ptr<pinned_memory> sheet, drawn;
    int64_t rows = 0;
    mark done = 0;  ///< 0: nobody reads or writes them
  };

  void wait_for(mark& moment);
  static void keep(slot& used);
  int64_t most_positions() const;  ///< of a sequence
  int64_t most_spans() const;
  shape shape_of(std::span<const decode_row> rows) const;
  std::byte* drawn_of(size_t slot) const;
  void fill(slot& in, const step_sheet& at, std::span<const decode_row> rows) const;
  void compute(context& ctx, const shape& of);
  void run(context& ctx, const shape& of);

  const inference_model& net_;
  const_reals weights_;
  const kv_cache& cache_;
  device& on_;
  std::map<int64_t, bucket> buckets_;  ///< by rows
  buffer sheet_, drawn_, kept_;        ///< kept: what each step under way has drawn
  std::map<shape, std::unique_ptr<recording>> recorded_;
  std::vector<slot> slots_;
  size_t first_ = 0, under_way_ = 0;
  int64_t recordings_ = 0, replays_ = 0;

  // Ids that repetition penalties look at.
  std::unique_ptr<std::byte, std::function<void(std::byte*)>> context_;  ///< a range for all that there may be
  int64_t context_mapped_ = 0;                                           ///< bytes of it
  std::unique_ptr<pinned_memory> context_source_;
  mark context_sent_ = 0;
  std::map<const sequence*, int64_t> context_begin_;
};

}  // namespace troupe::engine
