// troupe COMMAND ...: finds the command and reports what it throws.
#include "jobs/arguments.hpp"
#include "jobs/commands.hpp"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <exception>
#include <new>
#include <string_view>

namespace {

struct command {
  const char* name;
  int (*function)(int argc, char** argv);
  const char* summary;  ///< null: not for users
};

constexpr command commands[] = {
    {"run", troupe::run_command, "JOB.ini: everything that is left of a job: pairs, SFT, reward model, PPO"},
    {"plan", troupe::plan_command, "JOB.ini: memory, disk and FLOPs that a job will need, before anything runs"},
    {"submit", troupe::submit_command, "JOB.ini: writes a job's batch script, checks it and hands it to Slurm"},
    {"status", troupe::status_command, "RUN: how a run stands: progress, time left, ranks, checkpoint, failures"},
    {"eval", troupe::eval_command, "DIR --data FILE: perplexity, or accuracy of a reward model"},
    {"generate", troupe::generate_command, "DIR: answers to prompts, JSON lines in and out"},
    {"score", troupe::score_command, "DIR: log-probabilities and reward scores, JSON lines in and out"},
    {"tokenize", troupe::tokenize_command, "DIR: text to ids and back, JSON lines in and out"},
    {"chat", troupe::chat_command, "DIR: a conversation in the terminal"},
    {"inspect", troupe::inspect_command, "PATH: what a model, checkpoint, experience file or run holds"},
    {"convert", troupe::convert_command, "SOURCE TARGET: GGUF or Hugging Face to a Hugging Face folder"},
    {"worker", troupe::worker_command, nullptr},
    {"guard", troupe::guard_command, nullptr},
};

void print_help(std::FILE* to) {
  std::fprintf(to, "troupe: RLHF training as an acting company of actors.\n\nUsage: troupe COMMAND [options]\n\n");
  for (const command& one : commands) {
    if (one.summary != nullptr) {
      std::fprintf(to, "  %-9s %s\n", one.name, one.summary);
    }
  }
  std::fprintf(to, "\n`troupe COMMAND --help` explains each.\n");
}

}  // namespace

int main(int argc, char** argv) {
  // Results go to stdout, everything else to stderr.
  spdlog::set_default_logger(spdlog::stderr_color_mt("troupe"));
  spdlog::set_pattern("%H:%M:%S %^%l%$ %v");
  const std::string_view name = argc > 1 ? argv[1] : "--help";
  if (name == "--help" || name == "-h" || name == "help") {
    print_help(stdout);
    return argc > 1 ? troupe::exit_ok : troupe::exit_usage;
  }
  for (const command& one : commands) {
    if (name == one.name) {
      try {
        return one.function(argc - 1, argv + 1);
      } catch (const troupe::usage_error& failure) {
        std::fprintf(stderr, "troupe %s: %s\n", one.name, failure.what());
        return troupe::exit_usage;
      } catch (const std::bad_alloc&) {
        std::fprintf(stderr, "troupe %s: out of memory\n", one.name);
      } catch (const std::exception& failure) {
        std::fprintf(stderr, "troupe %s: %s\n", one.name, failure.what());
      }
      return troupe::exit_failed;
    }
  }
  std::fprintf(stderr, "troupe: there is no command \"%s\"\n\n", argv[1]);
  print_help(stderr);
  return troupe::exit_usage;
}
