#include "io/job/options.hpp"

#include <array>

namespace troupe::io {

#define TROUPE_WORDS(type, ...)                                                                                        \
  template <> std::span<const std::string_view> words_of<type>() {                                                     \
    static constexpr std::array words = std::to_array<std::string_view>({__VA_ARGS__});                                \
    return words;                                                                                                      \
  }

TROUPE_WORDS(phase, "pairs", "sft", "reward", "ppo")
TROUPE_WORDS(initial_weights, "stored", "random")
TROUPE_WORDS(data_format, "text", "prompt-answer", "pairs", "hh-dialogue", "conversations", "instruction",
             "question-answer")
TROUPE_WORDS(too_long, "drop", "truncate")
TROUPE_WORDS(schedule, "linear", "cosine", "constant")
TROUPE_WORDS(sft_loss, "answers", "all")
TROUPE_WORDS(reward_loss, "end", "span")
TROUPE_WORDS(kl_controller, "fixed", "adaptive")
TROUPE_WORDS(kl_estimator, "k1", "k2", "k3", "k3+")
TROUPE_WORDS(kl_place, "reward", "loss")
TROUPE_WORDS(reward_scaling, "none", "running", "batch")
TROUPE_WORDS(loss_mean, "token", "sequence")
TROUPE_WORDS(on_divergence, "stop", "rollback")
TROUPE_WORDS(reward_kind, "model", "lexicon", "answer")
TROUPE_WORDS(valence_measure, "sum", "normalised", "per-hundred-words")

#undef TROUPE_WORDS

std::string_view to_string(phase value) { return words_of<phase>()[static_cast<size_t>(value)]; }

std::string_view to_string(data_format value) { return words_of<data_format>()[static_cast<size_t>(value)]; }

std::string_view to_string(reward_kind value) { return words_of<reward_kind>()[static_cast<size_t>(value)]; }

}  // namespace troupe::io
