// How fast models decode, against what reading their weights and the cache takes at least.
#include "base/random.hpp"
#include "engine/generate/generator.hpp"
#include "engine/generate/kv_cache.hpp"

#include <fmt/format.h>

#include "gpu/card_model.hpp"
#include "gpu/measure.hpp"

namespace troupe::gpu_check {

namespace {

struct rate {
  double tokens_per_s = 0, bytes_per_token = 0;
};

class decoding {
public:
  decoding(subject& of, const card_model& model)
      : of_(of), model_(model), prompt_(of.size(256, 5)), steps_(of.size(48, 2)), warm_up_(of.size(16, 2)) {}

  int64_t pages(int64_t sequences) const {
    // Those that have their prompt decode while others still read theirs.
    return sequences * engine::kv_cache::pages_for(prompt_ + answer(sequences)) + 1;
  }

  /// Of `sequences` that decode together, each behind a prompt of its own.
  rate run(int64_t sequences, int64_t steps_ahead) {
    engine::generator from(model_.net(), model_.weights(),
                           {.cache_pages = pages(sequences), .step_tokens = step_tokens(), .steps_ahead = steps_ahead},
                           &of_.card);
    for (int64_t s = 0; s < sequences; ++s) {
      engine::generation_request request;
      request.sequence_ids = {static_cast<uint64_t>(s)};
      for (int64_t i = 0; i < prompt_; ++i) {
        const double uniform =
            random_uniform({.seed = 9, .stream = static_cast<uint64_t>(s)}, static_cast<uint64_t>(i));
        request.prompt.push_back(
            static_cast<int32_t>(uniform * static_cast<double>(model_.net().description().vocabulary)));
      }
      request.max_new_tokens = answer(sequences);
      from.submit(std::move(request));
    }
    while (from.counters().prompt_tokens < sequences * prompt_) {
      from.step(of_.on_card);
    }
    for (int64_t step = 0; step < warm_up_; ++step) {  // recordings are made, and steps are under way
      from.step(of_.on_card);
    }
    const int64_t before = from.counters().answer_tokens;
    const auto begun = std::chrono::steady_clock::now();
    for (int64_t step = 0; step < steps_; ++step) {
      from.step(of_.on_card);
    }
    // As many are under way as before.
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    const auto tokens = static_cast<double>(from.counters().answer_tokens - before);
    // In the midst of what was timed a sequence is as long as its prompt and half of the steps.
    const int64_t length = prompt_ + before / sequences + steps_ / 2;
    const double cached = static_cast<double>(length) *
                          static_cast<double>(engine::kv_cache::page_bytes(model_.net().description(), dtype::bf16)) /
                          static_cast<double>(kernels::attention_tile);
    return {tokens / seconds, static_cast<double>(model_.bytes_of_a_step()) / static_cast<double>(sequences) + cached};
  }

private:
  int64_t step_tokens() const { return of_.size(8192, 64); }
  int64_t answer(int64_t sequences) const { return sequences * prompt_ / step_tokens() + warm_up_ + steps_ + 16; }

  subject& of_;
  const card_model& model_;
  int64_t prompt_, steps_, warm_up_;
};

/// Appends what it finds.
void decode_one(subject& of, const char* name, const engine::model_description& description, double memory_gb_per_s,
                outcome& found) {
  if (!of.has_time()) {
    found.text += fmt::format("{} left out: no time; ", name);
    return;
  }
  const auto bytes = static_cast<double>(engine::transformer(description).layout().arena_size() * size_of(dtype::bf16));
  if (bytes > 0.8 * static_cast<double>(of.card.use().free)) {
    found.text += fmt::format("{} does not fit; ", name);
    return;
  }
  const card_model model(of.on_card, description, dtype::bf16);
  decoding how(of, model);
  const int64_t page_bytes = engine::kv_cache::page_bytes(description, dtype::bf16);
  found.text += fmt::format("{}:", name);
  for (const int64_t sequences : of.emulated ? std::vector<int64_t>{1, 3} : std::vector<int64_t>{1, 16, 64, 256}) {
    if (how.pages(sequences) * page_bytes > of.card.use().free / 10 * 8) {
      found.text += fmt::format(" {} do not fit", sequences);
      continue;
    }
    if (!of.has_time()) {
      found.text += fmt::format(" {} left out: no time", sequences);
      continue;
    }
    const rate reached = how.run(sequences, engine::generator_settings{}.steps_ahead);
    const rate by_calls = how.run(sequences, 0);
    if (of.emulated) {
      found.text += fmt::format(" {}", sequences);
      continue;
    }
    const double share = reached.tokens_per_s * reached.bytes_per_token / 1e9 / memory_gb_per_s;
    found.text += fmt::format(" {} {:.0f} tokens/s ({:.0f} %; {:.0f} by calls)", sequences, reached.tokens_per_s,
                              100 * share, by_calls.tokens_per_s);
    found.figures.push_back({fmt::format("{}_{}_tokens_per_s", name, sequences), reached.tokens_per_s});
    found.figures.push_back({fmt::format("{}_{}_share", name, sequences), share});
    found.figures.push_back({fmt::format("{}_{}_by_calls_tokens_per_s", name, sequences), by_calls.tokens_per_s});
  }
  found.text += "; ";
}

}  // namespace

outcome decode(subject& of) {
  outcome found;
  const double memory = memory_gb_per_s(of);
  decode_one(of, "1.3B", shape_of_1b(of), memory, found);
  if (of.emulated) {
    found.text += "emulated, a tiny model: no speeds";
    return found;
  }
  decode_one(of, "8B", shape_of_8b(), memory, found);
  found.text += fmt::format("%: of reading weights and cache at the {:.0f} GB/s of copies", memory);
  return found;
}

}  // namespace troupe::gpu_check
