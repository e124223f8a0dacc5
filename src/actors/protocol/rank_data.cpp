#include "actors/protocol/rank_data.hpp"

#include "base/error.hpp"

namespace troupe::actors {

constexpr int draw_bits = 32, prompt_bits = 20, sample_bits = 12;

uint64_t make_sequence_id(uint64_t draw, uint64_t prompt, uint64_t sample) {
  if (draw >> draw_bits != 0 || prompt >> prompt_bits != 0 || sample >> sample_bits != 0) {
    throw error(errc::bad_argument,
                "iteration {}, prompt {}, sample {} leave the range of sequence ids: at most 2^32 iterations of 2^20 "
                "prompts with 2^12 samples each",
                draw, prompt, sample);
  }
  return draw << (prompt_bits + sample_bits) | prompt << sample_bits | sample;
}

uint64_t prompt_key_of(uint64_t sequence_id) { return sequence_id >> sample_bits; }

// From the highest bit: the kind; then, of examples, what they are (15 bits) and the counter (48); of experience, the
// epoch (31) and the index (32).
constexpr int kind_bit = 63, what_bit = 48, epoch_bit = 32;

uint64_t make_batch_id(serving what, uint64_t counter) { return static_cast<uint64_t>(what) << what_bit | counter; }

uint64_t make_minibatch_id(uint64_t epoch, uint64_t index) {
  return uint64_t{1} << kind_bit | epoch << epoch_bit | index;
}

batch_kind kind_of_batch(uint64_t batch_id) {
  return batch_id >> kind_bit == 1 ? batch_kind::experience : batch_kind::examples;
}

std::vector<engine::packed_batch> split_into_micro_batches(const engine::packed_batch& whole,
                                                           const micro_batch_rules& how) {
  const int64_t step = how.pairs ? 2 : 1;
  std::vector<int64_t> item_tokens;
  for (int64_t b = 0; b < whole.sequences(); b += step) {
    item_tokens.push_back(whole.offset_B1[static_cast<size_t>(b + step)] - whole.offset_B1[static_cast<size_t>(b)]);
  }
  std::vector<engine::packed_batch> parts;
  for (const engine::item_run& run : engine::form_micro_batches(item_tokens, how.token_budget, how.shares)) {
    engine::packed_batch& part = parts.emplace_back();
    for (int64_t b = run.first * step; b < run.last * step; ++b) {
      const auto first = static_cast<size_t>(whole.offset_B1[static_cast<size_t>(b)]);
      const auto last = static_cast<size_t>(whole.offset_B1[static_cast<size_t>(b + 1)]);
      part.add(std::span(whole.token_N).subspan(first, last - first), whole.prompt_length_B[static_cast<size_t>(b)]);
      if (!whole.weight_B.empty()) {
        part.weight_B.push_back(whole.weight_B[static_cast<size_t>(b)]);
      }
    }
  }
  return parts;
}

}  // namespace troupe::actors
