// troupe rescore PATH: stored answers under other rewards, another reference, another critic.
#include "base/printable.hpp"
#include "jobs/arguments.hpp"
#include "jobs/commands.hpp"
#include "jobs/dtype_option.hpp"
#include "jobs/rescore_experience.hpp"

#include <iostream>

namespace troupe {

namespace po = boost::program_options;

static constexpr const char* usage =
    "troupe rescore PATH --to FOLDER [options]\n\n"
    "Judges the answers of stored experience (PATH: a run, a folder of iteration-N.h5, or one file) anew, without\n"
    "generating any, and writes them as new experience to FOLDER, which must not be there yet. --rewards gives raw\n"
    "rewards by the [rewards.*] of a job file (it needs no other sections) or of a run, or by a reward model;\n"
    "--reference the log-probabilities under another reference, at the answers' temperature; --critic the values of\n"
    "another critic. What is not given stays. Shaped rewards and advantages were of the old judges, and are left out:\n"
    "methods make them again. What the new set can serve is told.\n";

int rescore_command(int argc, char** argv) {
  rescoring how;
  po::options_description options("Options");
  options.add_options()("to", po::value(&how.target)->value_name("DIR"), "the folder to write")(
      "rewards", po::value(&how.rewards)->value_name("PATH"), "a job file, a run, or the folder of a reward model")(
      "reference", po::value(&how.reference)->value_name("DIR"), "the folder of a language model")(
      "critic", po::value(&how.critic)->value_name("DIR"), "the folder of a model with a scalar head")(
      "tokenizer", po::value(&how.tokenizer)->value_name("DIR"),
      "the folder of the tokenizer that wrote the answers, where neither run, job nor models have it")(
      "threads", po::value(&how.threads)->default_value(0), "compute threads; 0: all cores");
  add_dtype_option(options, how.type);
  po::variables_map values;
  if (!parse_arguments(argc, argv, usage, options, {"PATH"}, values)) {
    return exit_ok;
  }
  how.source = required_argument(values, "PATH");
  if (how.target.empty()) {
    throw usage_error("--to is missing: name the folder to write");
  }
  if (how.rewards.empty() && how.reference.empty() && how.critic.empty()) {
    throw usage_error("nothing is to be scored anew: give --rewards, --reference or --critic");
  }
  require_threads(how.threads);
  std::cout << printable(rescore_experience(how)) << '\n';
  return exit_ok;
}

}  // namespace troupe
