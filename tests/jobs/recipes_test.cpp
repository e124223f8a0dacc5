// The recipes are job files that the program takes; and the data formats, rewards, losses and ways of sampling that no
// recipe uses end to end run here, in three tiny jobs.
#include "io/files/mapped_file.hpp"
#include "io/job/job.hpp"
#include "io/run/metrics.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>

namespace troupe::test {

namespace fs = std::filesystem;

static const fs::path data = test_data();

TEST(Recipes, AreJobFiles) {
  int recipes = 0;
  for (const auto& entry : fs::directory_iterator(data.parent_path().parent_path() / "jobs/recipes")) {
    const fs::path& file = entry.path();
    if (file.extension() == ".ini") {
      ++recipes;
      EXPECT_NO_THROW(io::parse_job(io::read_text_file(file), {.name = file.string(),
                                                               .stem = file.stem().string(),
                                                               .folder = file.parent_path().string(),
                                                               .current = "/"}));
    }
  }
  EXPECT_GE(recipes, 5);
}

class TinyJob : public testing::TestWithParam<const char*> {};

TEST_P(TinyJob, FinishesWithNumbersInEveryRecord) {
  const temporary_folder folder;
  const std::string job = data / "jobs" / (std::string(GetParam()) + ".ini");
  const program_result result = run_program({"run", job, "--run.dir", folder / "run"});
  ASSERT_EQ(result.status, 0) << result.output;
  std::set<std::string> phases;
  for (const io::metrics_record& record : io::read_metrics(folder / "run/metrics.jsonl")) {
    phases.insert(record.phase);
    for (const auto& [name, value] : record.values) {
      EXPECT_TRUE(std::isfinite(value)) << record.phase << " " << record.update << " " << name;
    }
  }
  EXPECT_TRUE(phases.contains("ppo"));
}

INSTANTIATE_TEST_SUITE_P(OfEachKind, TinyJob, testing::Values("dialogues", "instructions", "answers"),
                         [](const auto& info) { return std::string(info.param); });

/// The names in the first column of the table in docs/files.md.
static std::set<std::string> documented_metrics() {
  const std::string page = io::read_text_file(data.parent_path().parent_path() / "docs/files.md");
  std::istringstream lines(page.substr(page.find("## Metrics")));
  std::set<std::string> names;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("| `")) {
      continue;
    }
    std::istringstream cell(line.substr(1, line.find(" |", 1)));
    for (std::string part; std::getline(cell, part, '`') && std::getline(cell, part, '`');) {
      names.insert(part);
    }
  }
  return names;
}

TEST(MetricNames, AreThoseOfTheDocumentation) {
  const temporary_folder folder;
  const program_result result = run_program({"run", data / "jobs/tiny.ini", "--run.dir", folder / "run"});
  ASSERT_EQ(result.status, 0) << result.output;
  std::set<std::string> recorded;
  for (const io::metrics_record& record : io::read_metrics(folder / "run/metrics.jsonl")) {
    for (const auto& [name, value] : record.values) {
      EXPECT_TRUE(std::isfinite(value)) << name;
      recorded.insert(name);
    }
  }
  const std::set<std::string> documented = documented_metrics();
  EXPECT_GT(documented.size(), 50U);
  for (const std::string& name : documented) {
    EXPECT_TRUE(recorded.contains(name)) << name << " is documented and never recorded";
  }
  // Those of a data set and of a reward are documented by a pattern.
  const std::set<std::string> patterns = {"reward/happiness_mean", "reward/learned_mean"};
  for (std::string name : recorded) {
    name = name.starts_with("evaluation/") ? name.substr(11) : name;
    const bool of_a_set = name.starts_with("held_out/") && std::count(name.begin(), name.end(), '/') == 2;
    EXPECT_TRUE(of_a_set || patterns.contains(name) || documented.contains(name)) << name << " is not documented";
  }
}

}  // namespace troupe::test
