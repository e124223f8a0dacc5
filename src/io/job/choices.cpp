// The words of a job file for each value of an enumeration. Each switch names all values, and one that lacks
// any does not compile; so a new value cannot take the word of another.
#include "io/job/options.hpp"

#include <array>

namespace troupe::io {

namespace {

// clang-format off

constexpr std::string_view word_of(phase value) {
  switch (value) {
  case phase::pairs:  return "pairs";
  case phase::sft:    return "sft";
  case phase::reward: return "reward";
  case phase::ppo:    return "ppo";
  case phase::replay: return "replay";
  }
  return {};
}

constexpr std::string_view word_of(initial_weights value) {
  switch (value) {
  case initial_weights::stored: return "stored";
  case initial_weights::random: return "random";
  }
  return {};
}

constexpr std::string_view word_of(weight_type value) {
  switch (value) {
  case weight_type::f32:  return "f32";
  case weight_type::bf16: return "bf16";
  }
  return {};
}

constexpr std::string_view word_of(data_format value) {
  switch (value) {
  case data_format::text:            return "text";
  case data_format::prompt_answer:   return "prompt-answer";
  case data_format::pairs:           return "pairs";
  case data_format::hh_dialogue:     return "hh-dialogue";
  case data_format::conversations:   return "conversations";
  case data_format::instruction:     return "instruction";
  case data_format::question_answer: return "question-answer";
  case data_format::experience:      return "experience";
  case data_format::automatic:       return "auto";
  }
  return {};
}

constexpr std::string_view word_of(too_long value) {
  switch (value) {
  case too_long::drop:     return "drop";
  case too_long::truncate: return "truncate";
  }
  return {};
}

constexpr std::string_view word_of(schedule value) {
  switch (value) {
  case schedule::linear:   return "linear";
  case schedule::cosine:   return "cosine";
  case schedule::constant: return "constant";
  }
  return {};
}

constexpr std::string_view word_of(sft_loss value) {
  switch (value) {
  case sft_loss::answers: return "answers";
  case sft_loss::all:     return "all";
  }
  return {};
}

constexpr std::string_view word_of(reward_loss value) {
  switch (value) {
  case reward_loss::end:  return "end";
  case reward_loss::span: return "span";
  }
  return {};
}

constexpr std::string_view word_of(kl_controller value) {
  switch (value) {
  case kl_controller::fixed:    return "fixed";
  case kl_controller::adaptive: return "adaptive";
  }
  return {};
}

constexpr std::string_view word_of(kl_estimator value) {
  switch (value) {
  case kl_estimator::k1:      return "k1";
  case kl_estimator::k2:      return "k2";
  case kl_estimator::k3:      return "k3";
  case kl_estimator::k3_plus: return "k3+";
  }
  return {};
}

constexpr std::string_view word_of(kl_place value) {
  switch (value) {
  case kl_place::reward: return "reward";
  case kl_place::loss:   return "loss";
  }
  return {};
}

constexpr std::string_view word_of(reward_scaling value) {
  switch (value) {
  case reward_scaling::none:    return "none";
  case reward_scaling::running: return "running";
  case reward_scaling::batch:   return "batch";
  }
  return {};
}

constexpr std::string_view word_of(loss_mean value) {
  switch (value) {
  case loss_mean::token:    return "token";
  case loss_mean::sequence: return "sequence";
  }
  return {};
}

constexpr std::string_view word_of(device_choice value) {
  switch (value) {
  case device_choice::automatic: return "auto";
  case device_choice::cpu:       return "cpu";
  case device_choice::cuda:      return "cuda";
  }
  return {};
}

constexpr std::string_view word_of(memory_place value) {
  switch (value) {
  case memory_place::card: return "card";
  case memory_place::host: return "host";
  }
  return {};
}

constexpr std::string_view word_of(card_exchange value) {
  switch (value) {
  case card_exchange::automatic: return "auto";
  case card_exchange::nccl:      return "nccl";
  case card_exchange::host:      return "host";
  }
  return {};
}

constexpr std::string_view word_of(on_divergence value) {
  switch (value) {
  case on_divergence::stop:     return "stop";
  case on_divergence::rollback: return "rollback";
  }
  return {};
}

constexpr std::string_view word_of(reward_kind value) {
  switch (value) {
  case reward_kind::model:   return "model";
  case reward_kind::lexicon: return "lexicon";
  case reward_kind::answer:  return "answer";
  case reward_kind::command: return "command";
  }
  return {};
}

constexpr std::string_view word_of(valence_measure value) {
  switch (value) {
  case valence_measure::sum:               return "sum";
  case valence_measure::normalised:        return "normalised";
  case valence_measure::per_hundred_words: return "per-hundred-words";
  }
  return {};
}

constexpr std::string_view word_of(importance_rule value) {
  switch (value) {
  case importance_rule::none:           return "none";
  case importance_rule::truncated:      return "truncated";
  case importance_rule::masked:         return "masked";
  case importance_rule::sequence_mask:  return "sequence-mask";
  case importance_rule::geometric_mask: return "geometric-mask";
  }
  return {};
}

constexpr std::string_view word_of(replay_leniency value) {
  switch (value) {
  case replay_leniency::job:        return "job";
  case replay_leniency::policy:     return "policy";
  case replay_leniency::iterations: return "iterations";
  case replay_leniency::groups:     return "groups";
  }
  return {};
}

// clang-format on

/// Values are counted up to the first without a word.
template <class Enum> constexpr size_t count_of() {
  size_t count = 0;
  while (!word_of(static_cast<Enum>(count)).empty()) {
    ++count;
  }
  return count;
}

template <class Enum> constexpr auto make_words() {
  std::array<std::string_view, count_of<Enum>()> words{};
  for (size_t i = 0; i < words.size(); ++i) {
    words[i] = word_of(static_cast<Enum>(i));
  }
  return words;
}

}  // namespace

template <class Enum> std::span<const std::string_view> words_of() {
  static constexpr auto words = make_words<Enum>();
  return words;
}

template std::span<const std::string_view> words_of<phase>();
template std::span<const std::string_view> words_of<initial_weights>();
template std::span<const std::string_view> words_of<weight_type>();
template std::span<const std::string_view> words_of<data_format>();
template std::span<const std::string_view> words_of<too_long>();
template std::span<const std::string_view> words_of<schedule>();
template std::span<const std::string_view> words_of<sft_loss>();
template std::span<const std::string_view> words_of<reward_loss>();
template std::span<const std::string_view> words_of<kl_controller>();
template std::span<const std::string_view> words_of<kl_estimator>();
template std::span<const std::string_view> words_of<kl_place>();
template std::span<const std::string_view> words_of<reward_scaling>();
template std::span<const std::string_view> words_of<loss_mean>();
template std::span<const std::string_view> words_of<on_divergence>();
template std::span<const std::string_view> words_of<device_choice>();
template std::span<const std::string_view> words_of<memory_place>();
template std::span<const std::string_view> words_of<card_exchange>();
template std::span<const std::string_view> words_of<reward_kind>();
template std::span<const std::string_view> words_of<valence_measure>();
template std::span<const std::string_view> words_of<importance_rule>();
template std::span<const std::string_view> words_of<replay_leniency>();

std::string_view to_string(phase value) { return word_of(value); }

std::string_view to_string(data_format value) { return word_of(value); }

std::string_view to_string(reward_kind value) { return word_of(value); }

}  // namespace troupe::io
