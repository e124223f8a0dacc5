/// Where a command writes experience: a new folder, there whole or not at all.
#pragma once

#include "io/experience/experience.hpp"
#include "io/files/atomic_file.hpp"

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>

namespace troupe {

class new_experience {
public:
  /// Errors  bad_argument: something is there already; io_failure.
  explicit new_experience(const std::filesystem::path& folder);

  /// Errors  bad_argument: the iteration is there already; those of io::write_experience.
  void add(const io::experience& e);
  void commit() { folder_.commit(); }

  int64_t files() const { return files_; }
  int64_t answers() const { return answers_; }
  /// "it has tokens, rewards; no values", a line for each kind of file.
  std::string serves() const;

private:
  io::atomic_folder folder_;
  int64_t files_ = 0, answers_ = 0;
  std::set<std::string> serves_;
};

}  // namespace troupe
