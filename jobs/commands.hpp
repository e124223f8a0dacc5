/// The commands of the program. Each takes its own arguments (argv[0] is its name) and returns the exit status.
#pragma once

namespace troupe {

int chat_command(int argc, char** argv);
int convert_command(int argc, char** argv);
int eval_command(int argc, char** argv);
int generate_command(int argc, char** argv);
int guard_command(int argc, char** argv);
int inspect_command(int argc, char** argv);
int plan_command(int argc, char** argv);
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
