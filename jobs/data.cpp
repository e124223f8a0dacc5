// troupe data JOB.ini: what a job's data become, before anything runs.
#include "base/console.hpp"
#include "base/printable.hpp"
#include "io/job/job.hpp"
#include "io/json/jsonl_filter.hpp"
#include "jobs/arguments.hpp"
#include "jobs/checked_job.hpp"
#include "jobs/commands.hpp"
#include "jobs/data_survey.hpp"
#include "jobs/data_text.hpp"
#include "jobs/data_warnings.hpp"
#include "jobs/own_options.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace troupe {

namespace {

constexpr const char* usage =
    "troupe data JOB.ini [--examples N] [--json] [--section.key value ...]\n\n"
    "For each phase of a job and each data set: how many records there are to learn from, held out, for other\n"
    "phases, and left out, with reason and lines; how many tokens they have; and N rendered examples (2), with what\n"
    "the phase learns from in green, or in [[ ]] where output is no terminal (or NO_COLOR is set). Warns of what is\n"
    "almost surely not meant, as plan, run and submit do of each set's first 1,000 records. Needs the policy's\n"
    "config.json and tokenizer, and the data; no weights. --json prints one JSON object.\n";

}  // namespace

int data_command(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool as_json = take_flag(arguments, "--json");
  data_view view{.colour = !as_json && wants_colour(STDOUT_FILENO)};
  view.examples = take_number<int64_t>(arguments, "--examples", least::zero).value_or(view.examples);
  if (const auto told = tell_usage(arguments, usage)) {
    return *told;
  }
  const io::job job = checked_job(arguments, needed_files::all);
  const data_survey survey = from_user([&] { return survey_data(job, 0); });
  const std::vector<std::string> warnings = data_warnings(job, survey);
  if (as_json) {
    fmt::print("{}\n", io::json_line_text(data_json(job, survey, view, warnings)));
    return exit_ok;
  }
  fmt::print("{}", data_text(job, survey, view));
  for (const std::string& warning : warnings) {
    fmt::print("warning: {}\n", printable(warning));
  }
  return exit_ok;
}

}  // namespace troupe
