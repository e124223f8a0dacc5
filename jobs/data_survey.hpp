/// What the data of a job become, phase by phase: how many records go where, how long they are, and what stands out in
/// them. It is what `troupe data` shows and what warnings go by.
#pragma once

#include "io/datasets/examples.hpp"
#include "io/job/job.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

/// One data set in one phase.
struct source_survey {
  std::string name;    ///< NAME of [data.NAME]; "pairs": those that the run makes
  std::string format;  ///< word of the job file
  io::source_report report;
  std::vector<io::example> training, held_out;
  std::string prompt_end;                     ///< what all its prompts end with, as text; empty where that are no words
  double with_end_of_first = 1;               ///< share of its prompts that end as those of the job's first set do
  int64_t cut_answers = 0;                    ///< of those kept or held out: they have no end
  int64_t without_number = 0;                 ///< of the right answers: no answer can be held against these
  std::vector<int64_t> lines_without_number;  ///< the first few
};

struct phase_survey {
  io::phase phase = io::phase::sft;
  std::vector<source_survey> sources;  ///< that serve the phase
  bool made_later = false;             ///< it trains on pairs that the run has not made yet

  int64_t training() const;
  int64_t held_out() const;
};

struct data_survey {
  std::shared_ptr<const io::tokenizer> tokens;
  std::vector<phase_survey> phases;
  int64_t limit = 0;  ///< at most so many records of a set were read; 0: all
};

/// Reads the data sets of all phases of the job; of each set `limit` records at most (0: all).
/// Errors  those of the tokenizer and of io::read_phase_data.
data_survey survey_data(const io::job& job, int64_t limit);

/// The tokens of a survey's example as `[first, last)` of prompt and answer end to end, from which the phase learns: in
/// sft the loss's, in reward those whose scores are compared; ppo learns from other answers.
struct learned_span {
  size_t first = 0, last = 0;
};
learned_span learned_tokens(const io::job& job, io::phase phase, const io::example& example,
                            const std::vector<int32_t>& answer);

}  // namespace troupe
