/// The options of a job file by name, for whoever completes what a user types.
#pragma once

#include <string>
#include <vector>

namespace troupe::io {

struct listed_option {
  std::string section;             ///< "ppo"; "data.NAME" where any name may stand
  std::string key;                 ///< "kl-in"
  std::string help;                ///< what it does, with its values and its default
  std::vector<std::string> words;  ///< the only ones that it takes; empty: others
  bool path = false;               ///< a file or a folder

  std::string name() const { return section + "." + key; }
};

/// In the order of the reference.
std::vector<listed_option> list_job_options();

}  // namespace troupe::io
