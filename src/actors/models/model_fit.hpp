/// Whether models fit each other: judges, reference and critic read the tokens that the policy writes.
#pragma once

#include "actors/models/model_files.hpp"
#include "io/job/job.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <filesystem>

namespace troupe::actors {

/// Requires that the job's sequences fit into the model.
/// Errors  bad_argument: length.max-tokens is beyond the model's positions, or its sliding window.
void require_lengths(const io::job& job, const model& m);

/// Requires that the model has each id of the tokenizer that a sequence can hold: published models often have a padding
/// token beyond their rows, which none does. `folder`: of the tokenizer, for the message.
/// Errors  bad_argument: another token of the tokenizer has an id beyond the model's.
void require_vocabulary(const io::tokenizer& tokens, const std::filesystem::path& folder, const model& m);

/// Requires that `reader` understands the tokens of the policy in the folder `policy`, whose tokenizer is `tokens`.
/// Each id must stand for the same text in both tokenizers; other differences (a chat template, a key of
/// tokenizer_config.json) do no harm. A reader without a tokenizer of its own is taken to fit.
/// Errors  bad_argument, naming both folders; those of io::load_tokenizer, except not_found.
void require_reads(const io::job& job, const io::tokenizer& tokens, const std::filesystem::path& policy,
                   const model& reader);

}  // namespace troupe::actors
