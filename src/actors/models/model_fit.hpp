/// Whether models fit each other: what the policy writes is read by the judges, the reference and the critic, token by token.
#pragma once

#include "actors/models/model_files.hpp"
#include "io/job/job.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <filesystem>

namespace troupe::actors {

/// Errors  bad_argument: length.max-tokens is beyond the model's positions, or its sliding window.
void require_lengths(const io::job& job, const model& m);

/// Published models often have a padding token beyond their rows, which no sequence holds.
/// Errors  bad_argument: the tokenizer, of the folder named, has another token whose id is beyond the model's.
void require_vocabulary(const io::tokenizer& tokens, const std::filesystem::path& folder, const model& m);

/// That `reader` can read what a policy with these tokens, from `policy`, writes. A folder without a tokenizer of its own
/// is taken at its word. Tokenizers of other bytes pass if each id of the policy's stands for the same text: a chat
/// template, or a key of tokenizer_config.json, changes no id.
/// Errors  bad_argument, naming both folders; those of io::load_tokenizer but not_found.
void require_reads(const io::job& job, const io::tokenizer& tokens, const std::filesystem::path& policy,
                   const model& reader);

}  // namespace troupe::actors
