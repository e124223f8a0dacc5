/// Whether models fit each other: judges, reference and critic read the tokens that the policy writes.
#pragma once

#include "actors/models/model_files.hpp"
#include "io/job/job.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <filesystem>
#include <memory>
#include <string>

namespace troupe::actors {

/// Why the job's sequences do not fit into a model of this shape, from that folder: length.max-tokens is beyond its
/// positions, or its sliding window. Empty: they do.
std::string length_problem(const io::job& job, const engine::model_description& shape,
                           const std::filesystem::path& folder);

/// The tokenizer of a model's folder; null where it has none.
/// Errors  those of io::load_tokenizer, except not_found.
std::unique_ptr<io::tokenizer> own_tokenizer(const std::filesystem::path& folder);

/// Why a model of this shape, from `folder`, cannot read what is written with `tokens`: an id has no row. Empty: it
/// can.
std::string vocabulary_problem(const io::tokenizer& tokens, const std::filesystem::path& tokens_folder,
                               const engine::model_description& shape, const std::filesystem::path& folder);

/// Why a model of this shape, from `folder`, cannot read what the policy in the folder `policy` writes with `tokens`:
/// an id stands for another text in its own tokenizer, or has no row. Empty: it can.
/// Errors  those of io::load_tokenizer, except not_found.
std::string reading_problem(const io::tokenizer& tokens, const std::filesystem::path& policy,
                            const engine::model_description& shape, const std::filesystem::path& folder);

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
