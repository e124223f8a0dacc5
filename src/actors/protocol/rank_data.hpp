/// What passes from actor to actor within a rank, by handle. Each is immutable once made.
#pragma once

#include "actors/protocol/messages.hpp"
#include "engine/objectives/ppo.hpp"
#include "engine/train/batch.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace troupe::actors {

struct prompt {
  std::vector<int32_t> tokens;
  uint64_t prompt_id = 0;  ///< digest of its content
  uint16_t source = 0;     ///< data set it came from
  std::string reference;   ///< the record's own answer, for rule rewards; may be empty
};

/// What the loader serves: sequences to learn from, split into micro-batches, or prompts to answer.
struct example_batch {
  uint64_t id = 0;
  serving what = serving::training;
  std::vector<engine::packed_batch> micro_batches;
  std::vector<std::vector<uint16_t>> sources;  ///< of each micro-batch's sequences, or pairs

  std::vector<prompt> prompts;
  uint64_t draw = 0;  ///< iteration that the sequence ids are made of
};

/// An answer that the policy has finished.
struct finished_sequence {
  uint64_t batch_id = 0;
  uint64_t sequence_id = 0;
  actors::prompt prompt;
  std::vector<int32_t> answer;
  std::vector<float> logprob;  ///< one for each answer token, at sampling
  bool finished = false;       ///< ended by an end token or stop string

  int64_t tokens() const { return static_cast<int64_t>(prompt.tokens.size() + answer.size()); }
};

enum class scorer : uint8_t { reference, reward, critic };

/// What one of the scoring models says of a sequence: log-probabilities or values of its answer tokens; or the raw
/// reward of each source, in the job's order.
struct sequence_scores {
  uint64_t sequence_id = 0;
  scorer by = scorer::reference;
  std::vector<float> values;
};

/// Part of an assembled rollout, split into micro-batches.
struct minibatch {
  struct part {
    engine::packed_batch packed;
    std::vector<float> logprob_old_A, logprob_ref_A, value_old_A, advantage_A, return_A;
    std::vector<double> weight_A;
  };
  uint64_t id = 0;
  std::vector<part> parts;
  bool fresh = false;  ///< no update has been made since the rollout: log-probabilities must be equal to the last bit
};

/// An id that is a function of (draw, prompt, sample) and sorts in that order: 32, 20 and 12 bits.
/// Errors  bad_argument: a part that does not fit.
uint64_t make_sequence_id(uint64_t draw, uint64_t prompt, uint64_t sample);

/// The same for all samples of a prompt in a draw, and for no others.
uint64_t prompt_key_of(uint64_t sequence_id);

/// Of a batch: unique among the batches of a phase.
uint64_t make_batch_id(serving what, uint64_t counter);

/// How a batch is split into micro-batches (engine/train/batch.hpp).
struct micro_batch_rules {
  int64_t token_budget = 1;
  int64_t shares = 1;  ///< lanes of gradients, among which micro-batches are dealt in turn
  bool pairs = false;  ///< neighbours stay together
};

std::vector<engine::packed_batch> split_into_micro_batches(const engine::packed_batch& whole,
                                                           const micro_batch_rules& how);

}  // namespace troupe::actors
