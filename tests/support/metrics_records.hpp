/// What a run has recorded of its iterations.
#pragma once

#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

namespace troupe::test {

/// Records of metrics.jsonl of this phase, by iteration; none from before its first.
inline std::map<int, nlohmann::json> records_of(const std::filesystem::path& run, const std::string& phase) {
  std::map<int, nlohmann::json> records;
  std::ifstream file(run / "metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    nlohmann::json record = nlohmann::json::parse(line);
    if (record.at("phase") == phase && record.at("iteration").get<int>() > 0) {
      records[record.at("iteration").get<int>()] = record;
    }
  }
  return records;
}

}  // namespace troupe::test
