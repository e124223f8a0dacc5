/// Formats by the columns of published data sets.
#pragma once

#include "io/job/job.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace troupe::io {

/// Gives a set of format auto the format, and the field names that the job does not give, that the columns of its first
/// hundred records call for together: some of them may lack a column, or be none that can be read. Returns what to
/// tell: "data.NAME: pairs, by its columns chosen and rejected".
///   chosen, rejected [, prompt | messages]           pairs; hh-dialogue where both begin with "\n\nHuman:"
///   messages | conversations [, prompt]              conversations
///   instruction, output | response                   instruction, with input or context
///   question, answer | response                      question-answer
///   prompt | input, answer | completion | response | output      prompt-answer
///   prompt [, reward_model.ground_truth]             prompt-answer, with that as the reference
///   text                                             text
/// Errors  bad_argument: no columns that are known, those of several formats, or those of a kind of data that
///         Troupe does not learn from (a label for each answer, rewards for each step); not_found and bad_file of
///         the file.
/// Source  the dataset formats of TRL, OpenRLHF and verl.
std::string recognise_format(data_section& set);

/// recognise_format by the columns of one record.
std::string recognise_columns(const nlohmann::json& record, data_section& set);

/// For load_job: recognise_format that puts what there is to tell into `told`, which must outlive it.
std::function<void(data_section&)> recogniser(std::vector<std::string>& told);

}  // namespace troupe::io
