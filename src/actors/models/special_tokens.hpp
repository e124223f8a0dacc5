/// Tokens that stand for no text: what ends an answer, what pads, and what goes around the records of a data set.
#pragma once

#include "actors/models/model_files.hpp"
#include "io/datasets/examples.hpp"
#include "io/job/job.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace troupe::actors {

/// Ids that end an answer by the model's generation_config.json, or, where that names none, its config.json.
std::vector<int32_t> end_tokens_of(const model& m);

/// The model's end tokens, and the tokenizer's own.
std::vector<int32_t> stop_tokens_of(const model& m, const io::tokenizer& tokens);

/// Batches are packed, so nothing in Troupe pads; `transformers` wants a pad token for scalar heads.
int64_t pad_token_of(const io::tokenizer& tokens);

/// How records become examples: the tokenizer's own start and end tokens, the job's lengths.
io::example_rules example_rules_of(const io::job& job, std::shared_ptr<const io::tokenizer> tokens);

}  // namespace troupe::actors
