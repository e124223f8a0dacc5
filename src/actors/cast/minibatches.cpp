#include "actors/cast/minibatches.hpp"

#include "base/random.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <utility>

namespace troupe::actors {

namespace {

/// Appends the values of answer b.
template <class Value>
void append_answer(std::vector<Value>& to, const std::vector<Value>& values_A, const engine::rollout_arrays& arrays,
                   size_t b) {
  to.insert(to.end(), values_A.begin() + arrays.answer_offset_B1[b], values_A.begin() + arrays.answer_offset_B1[b + 1]);
}

/// Which of the answers' tokens count, and where each answer starts among them.
struct counted_answers {
  std::vector<int64_t> offset_B1 = {0};
  std::vector<uint8_t> counts_A;
};

counted_answers counted(std::span<const int64_t> chosen, const engine::rollout_arrays& arrays) {
  counted_answers answers;
  for (const int64_t b : chosen) {
    append_answer(answers.counts_A, arrays.counts_A, arrays, static_cast<size_t>(b));
    answers.offset_B1.push_back(static_cast<int64_t>(answers.counts_A.size()));
  }
  return answers;
}

/// `chosen`: the sequences in `packed`. `of_minibatch`: counts of the whole minibatch.
minibatch::part make_part(const engine::packed_batch& packed, std::span<const int64_t> chosen,
                          const engine::rollout_arrays& arrays, engine::loss_mean mean,
                          const engine::answer_counts& of_minibatch) {
  minibatch::part part;
  part.packed = packed;
  for (const int64_t place : chosen) {
    const auto b = static_cast<size_t>(place);
    append_answer(part.logprob_old_A, arrays.logprob_start_A.empty() ? arrays.logprob_old_A : arrays.logprob_start_A,
                  arrays, b);
    append_answer(part.logprob_ref_A, arrays.logprob_ref_A, arrays, b);
    append_answer(part.value_old_A, arrays.value_A, arrays, b);
    append_answer(part.advantage_A, arrays.learned_advantage_A, arrays, b);
    append_answer(part.return_A, arrays.return_A, arrays, b);
  }
  const counted_answers answers = counted(chosen, arrays);
  part.weight_A = engine::answer_weights(mean, of_minibatch, answers.offset_B1, answers.counts_A);
  part.policy_weight_A = part.weight_A;
  if (!arrays.importance_A.empty()) {
    std::vector<float> importance_A;
    for (const int64_t place : chosen) {
      append_answer(importance_A, arrays.importance_A, arrays, static_cast<size_t>(place));
    }
    std::transform(part.weight_A.begin(), part.weight_A.end(), importance_A.begin(), part.policy_weight_A.begin(),
                   std::multiplies<>());
  }
  return part;
}

engine::packed_batch pack(std::span<const int64_t> chosen, const rollout& assembled) {
  engine::packed_batch whole;
  for (const int64_t b : chosen) {
    const finished_sequence& sequence = *assembled[static_cast<size_t>(b)].sequence;
    whole.add(sequence.prompt.tokens, sequence.answer);
  }
  return whole;
}

}  // namespace

std::vector<int64_t> sequences_of(const minibatch_rules& rules, const minibatch_command& wanted, int64_t sequences) {
  const random_key key{
      .seed = rules.seed, .stream = wanted.iteration << 16 | wanted.epoch, .purpose = random_purpose::minibatch_order};
  const std::vector<int64_t> all = random_permutation(key, sequences);
  const auto slices = static_cast<uint64_t>(rules.minibatches);
  const auto n = static_cast<uint64_t>(sequences);
  std::vector<int64_t> chosen(all.begin() + static_cast<int64_t>(wanted.index * n / slices),
                              all.begin() + static_cast<int64_t>((wanted.index + 1) * n / slices));
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

served_minibatch make_minibatch(const minibatch_rules& rules, const minibatch_command& wanted, const rollout& assembled,
                                const engine::rollout_arrays& arrays, bool as_sampled) {
  const std::vector<int64_t> chosen = sequences_of(rules, wanted, static_cast<int64_t>(assembled.size()));
  const counted_answers answers = counted(chosen, arrays);
  const engine::answer_counts counts = engine::count_answers(answers.offset_B1, answers.counts_A);
  const engine::packed_batch whole = pack(chosen, assembled);
  auto batch = std::make_shared<minibatch>();
  batch->id = make_minibatch_id(wanted.epoch, wanted.index);
  batch->fresh = as_sampled && wanted.epoch == 0 && wanted.index == 0;
  size_t first = 0;
  for (const engine::packed_batch& packed : split_into_micro_batches(whole, rules.micro_batches)) {
    const auto count = static_cast<size_t>(packed.sequences());
    batch->parts.push_back(make_part(packed, std::span(chosen).subspan(first, count), arrays, rules.mean, counts));
    first += count;
  }
  const serve_reply reply{.batch_id = batch->id,
                          .sequences = whole.sequences(),
                          .tokens = whole.tokens(),
                          .loss_terms = static_cast<int64_t>(counts.tokens)};
  return {.batch = {std::move(batch)}, .reply = reply};
}

}  // namespace troupe::actors
