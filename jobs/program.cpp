#include "jobs/program.hpp"

#include "base/near_names.hpp"
#include "base/printable.hpp"
#include "jobs/arguments.hpp"
#include "jobs/commands.hpp"
#include "jobs/log.hpp"
#include "jobs/standard_streams.hpp"
#include "jobs/version.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <iterator>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

namespace {

constexpr command table[] = {
    {"run", run_command, "JOB.ini: everything that is left of a job: pairs, SFT, reward model, PPO"},
    {"replay", replay_command,
     "RUN: the updates of a run again, from its stored experience: exactly, or with other options"},
    {"plan", plan_command, "JOB.ini: memory, disk and FLOPs that a job will need, before anything runs"},
    {"data", data_command, "JOB.ini: what its data become: counts, lengths, rendered examples, warnings"},
    {"submit", submit_command, "JOB.ini: writes a job's batch script, checks it and hands it to Slurm"},
    {"status", status_command, "RUN: how a run stands: progress, time left, ranks, checkpoint, failures"},
    {"fork", fork_command, "RUN --at CHECKPOINT --run.dir NEW: begins a run from another's checkpoint"},
    {"eval", eval_command, "DIR --data FILE: perplexity, or accuracy of a reward model"},
    {"generate", generate_command, "DIR: answers to prompts, JSON lines in and out"},
    {"score", score_command, "DIR: log-probabilities and reward scores, JSON lines in and out"},
    {"tokenize", tokenize_command, "DIR: text to ids and back, JSON lines in and out"},
    {"chat", chat_command, "DIR: a conversation in the terminal"},
    {"inspect", inspect_command, "PATH: what a model, checkpoint, experience file or run holds"},
    {"experience", experience_command, "PATH: lists, shows, compares, draws and exports stored rollouts"},
    {"import", import_command, "FILE FOLDER: rollouts of other systems, JSON lines, as experience"},
    {"rescore", rescore_command, "PATH --to FOLDER: stored answers under other rewards, reference or critic"},
    {"convert", convert_command, "SOURCE TARGET: GGUF or Hugging Face to a Hugging Face folder"},
    {"completion", completion_command, "bash | zsh: prints the script by which a shell completes all of this"},
    {"manual", manual_command, "prints the manual page: troupe manual | man -l -"},
    {"worker", worker_command, nullptr},
    {"guard", guard_command, nullptr},
};

void print_help(std::FILE* to) {
  std::fprintf(to, "troupe: RLHF training as an acting company of actors.\n\nUsage: troupe COMMAND [options]\n\n");
  for (const command& listed : commands()) {
    if (listed.summary != nullptr) {
      std::fprintf(to, "  %-10s %s\n", listed.name, listed.summary);
    }
  }
  std::fprintf(to, "\n`troupe COMMAND --help` explains each; `troupe --version` says what it was built with.\n");
}

/// A command has done nothing if nobody can have what it printed.
int with_output_written(const std::string& command, int status) {
  const std::optional<std::string> failure = failure_of_standard_streams();
  if (!failure || status != exit_ok) {
    return status;
  }
  std::fprintf(stderr, "troupe%s%s: %s\n", command.empty() ? "" : " ", command.c_str(), failure->c_str());
  return exit_failed;
}

int run_reporting(const command& wanted, int argc, char** argv) {
  static const std::string name = fmt::format("troupe {}", wanted.name);
  tell_last_exception(name.c_str());
  try {
    return with_output_written(wanted.name, wanted.function(argc, argv));
  } catch (const usage_error& failure) {
    std::fprintf(stderr, "troupe %s: %s\n", wanted.name, printable(failure.what()).c_str());
    return exit_usage;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "troupe %s: out of memory\n", wanted.name);
  } catch (const std::exception& failure) {
    // What prints may have thrown because it could not: then that is what has happened.
    const std::string what = std::ferror(stdout) != 0 ? "its output cannot be written: " : "";
    std::fprintf(stderr, "troupe %s: %s%s\n", wanted.name, what.c_str(), printable(failure.what()).c_str());
  }
  return exit_failed;
}

}  // namespace

std::span<const command> commands() { return table; }

int run_program(int argc, char** argv, std::string_view build) {
  const std::string_view name = argc > 1 ? argv[1] : "--help";
  if (name == "--help" || name == "-h" || name == "help") {
    print_help(stdout);
    return with_output_written("", argc > 1 ? exit_ok : exit_usage);
  }
  if (name == "--version" || name == "version") {
    fmt::print("{}", version_text(build));
    return with_output_written("", exit_ok);
  }
  const auto* found =
      std::find_if(std::begin(table), std::end(table), [&](const command& known) { return name == known.name; });
  if (found != std::end(table)) {
    return run_reporting(*found, argc - 1, argv + 1);
  }
  std::vector<std::string> names;
  for (const command& listed : commands()) {
    if (listed.summary != nullptr) {
      names.emplace_back(listed.name);
    }
  }
  std::fprintf(stderr, "troupe: there is no command \"%s\"%s\n`troupe --help` tells what there is: %s\n",
               printable(argv[1]).c_str(), did_you_mean(name, names).c_str(),
               fmt::format("{}", fmt::join(names, ", ")).c_str());
  return exit_usage;
}

}  // namespace troupe
