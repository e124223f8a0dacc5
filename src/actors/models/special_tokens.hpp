/// Tokens that stand for no text: what ends an answer, what pads, and what goes around the records of a data set.
#pragma once

#include "actors/models/model_files.hpp"
#include "io/datasets/examples.hpp"
#include "io/job/job.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe::actors {

/// Ids that end an answer by the model's generation_config.json, or, where that names none, its config.json.
std::vector<int32_t> end_tokens_of(const model& m);

/// The one that a text is ended with: the tokenizer's own, or, where its files name none, the first of the model's.
/// Empty: nobody names one.
std::optional<int32_t> end_token_of(const model& m, const io::tokenizer& tokens);

/// The model's end tokens, and the tokenizer's own.
std::vector<int32_t> stop_tokens_of(const model& m, const io::tokenizer& tokens);

/// Batches are packed, so nothing in Troupe pads; `transformers` wants a pad token for scalar heads.
int64_t pad_token_of(const io::tokenizer& tokens);

/// How the models of a job learn to write turns, where the job says so (data.NAME.chat-template). A model is saved with
/// it (model_saving), so that `chat` and `transformers` use what it has learned.
struct learned_turns {
  std::string
      chat_template;  ///< Jinja source, where all sets that name one name the same; empty: the policy's own stays
  std::vector<int32_t>
      ends;  ///< special tokens that end a turn, whether or not the model's own files name them as such
  bool operator==(const learned_turns&) const = default;
};

/// `tokens`: of the policy; null: it has none, and the ends are not known.
/// Errors  those of io::chat_format::chosen.
learned_turns learned_turns_of(const io::job& job, const io::tokenizer* tokens);

/// By the tokenizer of model.policy, which is read only where the job says how turns are written.
/// Errors  those of own_tokenizer and io::chat_format::chosen.
learned_turns learned_turns_of(const io::job& job);

/// How records become examples: the tokenizer's own start and end tokens, the job's lengths.
io::example_rules example_rules_of(const io::job& job, std::shared_ptr<const io::tokenizer> tokens);

}  // namespace troupe::actors
