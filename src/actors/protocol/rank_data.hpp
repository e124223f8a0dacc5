/// The data that actors of one rank hand each other: batches, sequences, scores, minibatches. They go by handle
/// (local_handle in messages.hpp), and nobody changes them once they are made.
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

enum class scorer : uint8_t {
  reference,
  reward,
  critic,
  policy,  ///< the policy itself, of answers that an older one sampled
};

/// The scores that one of the models gives a sequence. Reference, policy and critic: the log-probability or value
/// of each answer token. Reward: the raw reward of each source, in the job's order.
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
    std::vector<double> weight_A;         ///< of each token in the critic's loss
    std::vector<double> policy_weight_A;  ///< and in the policy's: the same, times its importance
  };
  uint64_t id = 0;
  std::vector<part> parts;
  bool fresh = false;  ///< no update has been made since the rollout: log-probabilities must be equal to the last bit
};

/// The id of a sequence: 32 bits of draw, 20 of prompt, 12 of sample, so that ids sort in this order.
/// Errors  bad_argument: one of the three does not fit.
uint64_t make_sequence_id(uint64_t draw, uint64_t prompt, uint64_t sample);

/// The part of an id that all samples of one prompt in one draw share, and no other sequence.
uint64_t prompt_key_of(uint64_t sequence_id);

/// What a batch holds, and so who made it and how one learns from it. The id of a batch says so.
enum class batch_kind : uint8_t {
  examples,    ///< text or prompts, from the loader
  experience,  ///< a minibatch of a rollout, from replay
};

/// The id of a batch from the loader, by what was asked for and for which update or iteration. Unique in its phase.
uint64_t make_batch_id(serving what, uint64_t counter);
/// The id of a minibatch from replay. Unique in its iteration.
uint64_t make_minibatch_id(uint64_t epoch, uint64_t index);

batch_kind kind_of_batch(uint64_t batch_id);

/// How a batch is split into micro-batches (engine/train/batch.hpp).
struct micro_batch_rules {
  int64_t token_budget = 1;
  int64_t shares = 1;  ///< lanes of gradients, among which micro-batches are dealt in turn
  bool pairs = false;  ///< neighbours stay together
};

std::vector<engine::packed_batch> split_into_micro_batches(const engine::packed_batch& whole,
                                                           const micro_batch_rules& how);

}  // namespace troupe::actors
