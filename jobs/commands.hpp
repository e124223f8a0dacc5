/// The commands of the program. Each takes its own arguments (argv[0] is its name) and returns the exit status.
#pragma once

#include <span>

namespace troupe {

struct command {
  const char* name;
  int (*function)(int argc, char** argv);
  const char* summary;  ///< null: not for users
};

/// All, in the order in which `troupe --help` lists them.
std::span<const command> commands();

int chat_command(int argc, char** argv);
int completion_command(int argc, char** argv);
int convert_command(int argc, char** argv);
int data_command(int argc, char** argv);
int eval_command(int argc, char** argv);
int experience_command(int argc, char** argv);
int fork_command(int argc, char** argv);
int generate_command(int argc, char** argv);
int guard_command(int argc, char** argv);
int import_command(int argc, char** argv);
int inspect_command(int argc, char** argv);
int manual_command(int argc, char** argv);
int plan_command(int argc, char** argv);
int replay_command(int argc, char** argv);
int rescore_command(int argc, char** argv);
int run_command(int argc, char** argv);
int score_command(int argc, char** argv);
int status_command(int argc, char** argv);
int submit_command(int argc, char** argv);
int tokenize_command(int argc, char** argv);
int worker_command(int argc, char** argv);

/// Exit statuses that every command shares.
inline constexpr int exit_ok = 0;
inline constexpr int exit_failed = 1;
inline constexpr int exit_usage = 2;
/// The run stopped on request, with its state saved: the same command line goes on. (EX_TEMPFAIL of sysexits.h.)
inline constexpr int exit_stopped = 75;

}  // namespace troupe
