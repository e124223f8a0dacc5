/// The list of a run's experience: a line a file, as a table, as JSON, as curves.
#pragma once

#include "io/experience/selection.hpp"
#include "io/experience/summary.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// What the user asks of which files.
struct experience_request {
  std::vector<std::filesystem::path> files;
  io::experience_filter filter;
  std::optional<int64_t> first, last;  ///< iterations
};

struct listed_file {
  std::filesystem::path path;
  io::experience_summary summary;
};

/// The files whose iteration is asked for, each with the summary of what passes the filter. Without a filter, files of
/// format 2 are read in their first bytes alone. With `problems`, a file that cannot be read is told there and left
/// out.
/// Errors  those of io::read_summary and io::read_experience.
std::vector<listed_file> list_experience(const experience_request& request,
                                         std::vector<std::string>* problems = nullptr);

/// Those files whose iteration is asked for, each with the summary of the whole.
/// Errors  those of io::read_summary.
std::vector<listed_file> files_asked_for(experience_request request);

/// The sequences of a file that pass.
io::experience read_passing(const std::filesystem::path& file, const io::experience_filter& filter);

std::string list_text(const std::vector<listed_file>& files);
/// One object on one line: {"iterations": [{"path", "iteration", "sequences", ...}]}; what is not there is null.
std::string list_json(const std::vector<listed_file>& files);
/// Reward, length and KL over iterations.
std::string curves_text(const std::vector<listed_file>& files);

}  // namespace troupe
