#include "jobs/slurm_queue.hpp"

#include "jobs/shell.hpp"

#include <fmt/format.h>

#include <sstream>

namespace troupe {

queued_job parse_queue(const std::string& id, const std::string& line) {
  queued_job job{.id = id, .asked = true};
  const size_t bar = line.find('|');
  if (bar != std::string::npos) {
    job.state = line.substr(0, bar);
    job.detail = line.substr(bar + 1);
  }
  return job;
}

queued_job ask_queue(const std::string& id) {
  const shell_result told = run_shell("squeue --noheader --states=all --format='%T|%R' --jobs=" + shell_word(id));
  if (told.status == 0) {
    queued_job job = parse_queue(id, told.output.substr(0, told.output.find('\n')));
    for (const char* over : {"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
                             "DEADLINE", "BOOT_FAIL"}) {
      if (job.state == over) {  // kept for some minutes
        job.detail = job.state;
        job.state.clear();
      }
    }
    return job;
  }
  return {.id = id, .asked = told.output.find("Invalid job id") != std::string::npos};
}

std::string describe(const queued_job& job) {
  if (!job.state.empty()) {
    const std::string detail = job.detail.empty() || job.detail.starts_with('(') ? job.detail : "on " + job.detail;
    return fmt::format("{}, {}{}{}", job.id, job.state, detail.empty() ? "" : " ", detail);
  }
  if (!job.asked) {
    return job.id;
  }
  return fmt::format("{}, no longer in the queue{}", job.id, job.detail.empty() ? "" : " (" + job.detail + ")");
}

std::string partitions_text() {
  const shell_result told = run_shell("sinfo --noheader --format='%P|%D|%c|%m|%l'");
  if (told.status != 0) {
    return "";
  }
  std::string text;
  std::istringstream lines(told.output);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string name, nodes, cores, memory, time;
    if (std::getline(fields, name, '|') && std::getline(fields, nodes, '|') && std::getline(fields, cores, '|') &&
        std::getline(fields, memory, '|') && std::getline(fields, time)) {
      text += fmt::format("  partition {}: {} node(s) of {} cores and {} MiB, at most {}\n", name, nodes, cores, memory,
                          time);
    }
  }
  return text;
}

}  // namespace troupe
