/// What a phase learns from and starts from (models, data) against the digests that were noted of it.
#pragma once

#include <map>
#include <optional>
#include <string>

namespace troupe::actors {

struct input_change {
  std::string what;    ///< "sft data have changed", "policy has changed"
  std::string former;  ///< what is to be put back
  std::string then, now;
};

/// The first that both know and that is another now, but for the job, whose options are compared by themselves.
std::optional<input_change> find_input_change(const std::map<std::string, std::string>& then,
                                              const std::map<std::string, std::string>& now);

}  // namespace troupe::actors
