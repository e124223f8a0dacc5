/// Runs the built program as a user would, and disturbs it.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace troupe::test {

/// A running `troupe`, with its output in a file. Killed when destroyed.
class program {
public:
  program(const std::vector<std::string>& arguments, const std::filesystem::path& output);
  ~program();
  program(const program&) = delete;
  program& operator=(const program&) = delete;

  pid_t pid() const { return pid_; }
  bool running();
  /// Waits for the end. The exit status, or minus the signal's number.
  int wait();
  void signal(int number) const;
  /// Ends it on the spot, and its ranks with it.
  void kill();
  /// Ends a rank on the spot; false: there was none just then.
  bool kill_rank() const;
  /// Asks it to stop, by SIGTERM or SIGINT, and waits. The exit status: 75 stopped, 0 it was done already; also 75
  /// where the signal came before the program listened to it and ended it on the spot.
  int stop(int number);

  /// Every process that descends from it: ranks and launchers.
  std::vector<pid_t> descendants() const;
  /// The ranks: processes that descend from this program, and run `troupe worker`.
  std::vector<pid_t> workers() const;
  /// One of them; 0 where there is none just now.
  pid_t worker() const;

private:
  pid_t pid_ = -1;
  bool ended_ = false;
  int status_ = 0;
};

/// Waits until a run has `more` records in metrics.jsonl than it had when the wait began, or the program has ended.
void await_records(program& troupe, const std::filesystem::path& run, int more);

/// Waits until a file is there, or the program has ended.
void await_file(program& troupe, const std::filesystem::path& file);

/// The path of the built program.
std::string troupe_program();

/// Runs to the end and returns exit status and output (stdout and stderr together).
struct program_result {
  int status = 0;
  std::string output;
};
program_result run_program(const std::vector<std::string>& arguments, const std::string& input = "");

bool process_exists(pid_t pid);

/// As much of a file as can be read: one of /proc fails in the middle when its process ends. Empty: there is none.
std::string text_of(const std::filesystem::path& path);

/// What makes two runs differ, as "file: why"; empty where they are equal: models, averages, experience, evaluations,
/// pairs byte for byte, checkpoints array by array, metrics without time, attempt, time/* and rate/*. The second may
/// have older checkpoints besides: it may have been killed.
std::vector<std::string> differences_of_runs(const std::filesystem::path& a, const std::filesystem::path& b);

}  // namespace troupe::test
