// NVIDIA's compute-sanitizer over all operations at their small sizes: what it says of memory, and of races for shared
// memory. It sees our kernels alone: cuBLAS takes long, and is not ours. Each array has memory of exactly its size, so
// that it sees what is read or written past one; past a part of the scratch that operations share it does not.
#include <fmt/format.h>
#include <unistd.h>

#include "gpu/process.hpp"
#include "gpu/stage.hpp"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace troupe::gpu_check {

namespace {

constexpr int errors_found = 9;  ///< the tool's exit status

/// Where the tool is; empty: nowhere. An emulated card has nothing that it could see, so there it is run only where it
/// is named.
std::string find_tool(bool emulated) {
  if (const char* named = std::getenv("TROUPE_COMPUTE_SANITIZER"); named != nullptr) {
    return named;
  }
  const char* path = std::getenv("PATH");
  std::istringstream folders((path == nullptr ? "" : path) + std::string(":/usr/local/cuda/bin"));
  for (std::string folder; !emulated && std::getline(folders, folder, ':');) {
    std::string file = folder + "/compute-sanitizer";
    if (::access(file.c_str(), X_OK) == 0) {
      return file;
    }
  }
  return {};
}

/// The last line that says what was found.
std::string summary_of(const std::string& output) {
  const size_t at = output.rfind("SUMMARY: ");
  return at == std::string::npos ? "no summary" : output.substr(at + 9, output.find('\n', at) - at - 9);
}

}  // namespace

outcome sanitizer(subject& of) {
  const std::string tool = find_tool(of.emulated);
  if (tool.empty()) {
    return {.text = of.emulated ? "left out: the emulated card finds itself what it looks for"
                                : "left out: compute-sanitizer is neither in PATH nor in /usr/local/cuda/bin; "
                                  "TROUPE_COMPUTE_SANITIZER may name it"};
  }
  ::setenv("TROUPE_CUDA_WHOLE_RANGES", "1", 1);
  const int seconds_of_a_tool = of.seconds * 2 / 5;  // the rest is for the start, and for an end by force
  outcome found;
  for (const char* kind : {"memcheck", "racecheck"}) {
    std::vector<std::string> command{
        tool, "--tool", kind, "--error-exitcode", std::to_string(errors_found), "--kernel-name", "kns=troupe"};
    if (std::string(kind) == "memcheck") {
      command.insert(command.end(), {"--report-api-errors", "no"});  // they are looked at where they come
    }
    command.insert(command.end(),
                   {this_program(), "--under-tool", "twins", "--seconds", std::to_string(seconds_of_a_tool)});
    if (of.emulated) {
      command.insert(command.end(), {"--emulated", of.module});
    }
    const ended_process ended = run_process(command, seconds_of_a_tool);
    const std::string file = fmt::format("{}/{}.txt", of.out, kind);
    if (std::FILE* const text = std::fopen(file.c_str(), "w"); text != nullptr) {
      std::fputs(ended.output.c_str(), text);
      std::fclose(text);
    }
    found.good = found.good && ended.status == 0;
    found.text += fmt::format("{}{}: {}{}", found.text.empty() ? "" : "; ", kind,
                              ended.in_time ? summary_of(ended.output) : why_late(ended),
                              ended.status == 0 ? "" : fmt::format(" (exit status {}; see {})", ended.status, file));
  }
  return found;
}

}  // namespace troupe::gpu_check
