#include "jobs/program.hpp"

#include "base/printable.hpp"
#include "jobs/arguments.hpp"
#include "jobs/commands.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <iterator>
#include <new>
#include <string_view>

namespace troupe {

namespace {

struct command {
  const char* name;
  int (*function)(int argc, char** argv);
  const char* summary;  ///< null: not for users
};

constexpr command commands[] = {
    {"run", run_command, "JOB.ini: everything that is left of a job: pairs, SFT, reward model, PPO"},
    {"plan", plan_command, "JOB.ini: memory, disk and FLOPs that a job will need, before anything runs"},
    {"submit", submit_command, "JOB.ini: writes a job's batch script, checks it and hands it to Slurm"},
    {"status", status_command, "RUN: how a run stands: progress, time left, ranks, checkpoint, failures"},
    {"eval", eval_command, "DIR --data FILE: perplexity, or accuracy of a reward model"},
    {"generate", generate_command, "DIR: answers to prompts, JSON lines in and out"},
    {"score", score_command, "DIR: log-probabilities and reward scores, JSON lines in and out"},
    {"tokenize", tokenize_command, "DIR: text to ids and back, JSON lines in and out"},
    {"chat", chat_command, "DIR: a conversation in the terminal"},
    {"inspect", inspect_command, "PATH: what a model, checkpoint, experience file or run holds"},
    {"convert", convert_command, "SOURCE TARGET: GGUF or Hugging Face to a Hugging Face folder"},
    {"worker", worker_command, nullptr},
    {"guard", guard_command, nullptr},
};

void print_help(std::FILE* to) {
  std::fprintf(to, "troupe: RLHF training as an acting company of actors.\n\nUsage: troupe COMMAND [options]\n\n");
  for (const command& listed : commands) {
    if (listed.summary != nullptr) {
      std::fprintf(to, "  %-9s %s\n", listed.name, listed.summary);
    }
  }
  std::fprintf(to, "\n`troupe COMMAND --help` explains each.\n");
}

int run_reporting(const command& wanted, int argc, char** argv) {
  try {
    return wanted.function(argc, argv);
  } catch (const usage_error& failure) {
    std::fprintf(stderr, "troupe %s: %s\n", wanted.name, printable(failure.what()).c_str());
    return exit_usage;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "troupe %s: out of memory\n", wanted.name);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "troupe %s: %s\n", wanted.name, printable(failure.what()).c_str());
  }
  return exit_failed;
}

}  // namespace

int run_program(int argc, char** argv) {
  const std::string_view name = argc > 1 ? argv[1] : "--help";
  if (name == "--help" || name == "-h" || name == "help") {
    print_help(stdout);
    return argc > 1 ? exit_ok : exit_usage;
  }
  const auto* found =
      std::find_if(std::begin(commands), std::end(commands), [&](const command& known) { return name == known.name; });
  if (found != std::end(commands)) {
    return run_reporting(*found, argc - 1, argv + 1);
  }
  std::fprintf(stderr, "troupe: there is no command \"%s\"\n\n", printable(argv[1]).c_str());
  print_help(stderr);
  return exit_usage;
}

}  // namespace troupe
