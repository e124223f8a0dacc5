/// Generation with continuous batching over a paged cache: each step is one model call that mixes
/// chunks of prompts with single tokens of running sequences. Finished sequences leave, waiting
/// ones enter, nothing is padded.
///
/// Bits    A sequence's tokens and log-probabilities are a function of (weights, prompt, settings,
/// seed, sequence id):
///         not of the batch, the page budget, the chunk size or the thread count. Token i of a
///         sequence (prompt included, from 0) is drawn with random_uniform({seed, sequence_id,
///         sampling}, i).
/// Pages   The samples of one request share the prompt's pages; the prompt is computed once. When
/// pages run out, the
///         sequences that entered last give theirs back, wait and are computed again, to the same
///         bits.
#pragma once

#include "base/aligned.hpp"
#include "base/context.hpp"
#include "engine/generate/kv_cache.hpp"
#include "engine/models/inference_model.hpp"
#include "kernels/sampling.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

namespace troupe::engine {

using kernels::sampling_settings;

/// Called with the whole answer so far after each token (stop strings, streaming): true ends the
/// answer. Where it throws, step() does, and the token is not taken: a later step draws the same one and asks again.
using stop_check = std::function<bool(std::span<const int32_t> answer)>;

struct generation_request {
  std::vector<uint64_t> sequence_ids;  ///< one sample for each; ids are unique among unfinished sequences
  std::vector<int32_t> prompt;
  int64_t max_new_tokens = 0;  ///< lowered to what the model's positions allow
  sampling_settings sampling;
  uint64_t seed = 0;
  std::vector<int32_t> stop_tokens;  ///< any of them ends the answer, and is part of it; empty: ignore ends
  stop_check stop;                   ///< may be empty
};

enum class finish_reason { stop, length };

struct generated_sequence {
  uint64_t sequence_id = 0;
  std::vector<int32_t> ids;     ///< the answer, stop token included
  std::vector<float> logprobs;  ///< nats; as kernels::log_prob_forward computes them, bit for bit
  finish_reason finish = finish_reason::length;
};

struct generator_settings {
  int64_t cache_pages = 64;   ///< budget; see kv_cache::page_bytes
  int64_t step_tokens = 256;  ///< rows of one model call, at most
  /// On a card: model calls under way at a time, where all rows are single tokens. 0: each is called by itself, as
  /// those of prompts are.
  int64_t steps_ahead = 8;
};

struct generator_counters {
  int64_t steps = 0, prompt_tokens = 0, answer_tokens = 0;
  int64_t preemptions = 0, recomputed_tokens = 0, peak_pages = 0;
  // On a card:
  int64_t recordings = 0;      ///< that were made
  int64_t replays = 0;         ///< steps that ran from one
  int64_t dropped_tokens = 0;  ///< that were computed behind an answer's end
};

class generator {
public:
  /// `net`, `weights` and `on`, the card where it computes (null: none), outlive the generator; the weights change
  /// only while it is idle.
  /// Errors  bad_argument.
  generator(const inference_model& net, const_reals weights, const generator_settings& settings, device* on = nullptr);
  ~generator();

  /// Errors  bad_argument: an empty prompt, a token outside of the vocabulary, a prompt that fills the model's
  ///         positions, a repeated id, no ids, bad sampling settings, a page budget too small for one such sequence.
  void submit(generation_request request);

  /// One model call; nothing when idle. On a card it may be one that an earlier step has called, while later ones are
  /// called already: what they compute of an answer after its end is dropped.
  /// Errors  not_finite: a row of logits is NaN; what a stop check throws. After either, further steps and cancel() are
  ///         right: what was computed in vain is computed again.
  void step(context& ctx);

  bool idle() const;           ///< no sequence is waiting or running
  int64_t unfinished() const;  ///< sequences waiting or running

  /// What finished since the last call, in order of sequence id.
  std::vector<generated_sequence> take_finished();

  /// The first sequence id of each request of which nothing has been computed yet, in order of submission.
  std::vector<uint64_t> not_begun() const;

  /// Takes back the request whose first sequence id this is: another rank will answer it, to the same tokens.
  /// Errors  bad_argument: it is not one of not_begun().
  void withdraw(uint64_t first_sequence_id);

  /// Gives up everything that is not finished (a stop in the middle of a rollout).
  void cancel();

  /// Gives the cache's memory back (it returns with the next step).
  /// Errors  bad_argument: not idle.
  void release_memory();

  generator_counters counters() const;

private:
  struct state;
  std::unique_ptr<state> state_;
};

/// Submits all, steps until idle: the answers in order of sequence id.
std::vector<generated_sequence> generate_all(context& ctx, generator& from, std::vector<generation_request> requests);

}  // namespace troupe::engine
