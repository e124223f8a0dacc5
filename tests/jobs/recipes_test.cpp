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
#include <map>
#include <set>
#include <sstream>
#include <string>

namespace troupe::test {

namespace fs = std::filesystem;

static const fs::path data = test_data();

TEST(Recipes, AreJobFiles) {
  int recipes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(source_tree() / "jobs/recipes")) {
    const fs::path& file = entry.path();
    if (file.extension() == ".ini") {
      ++recipes;
      EXPECT_NO_THROW(io::parse_job(io::read_text_file(file), {.name = file.string(),
                                                               .stem = file.stem().string(),
                                                               .folder = file.parent_path().string(),
                                                               .current = "/"}));
    }
  }
  EXPECT_GE(recipes, 10);
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

/// By phase, the names in the table of docs/files.md: its first two columns.
static std::map<std::string, std::set<std::string>> documented_metrics() {
  const std::string page = io::read_text_file(source_tree() / "docs/files.md");
  std::istringstream lines(page.substr(page.find("## Metrics")));
  std::map<std::string, std::set<std::string>> names;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("| `")) {
      continue;
    }
    const size_t end_of_names = line.find(" |");
    const std::string of_phases = line.substr(end_of_names + 3, line.find(" |", end_of_names + 2) - end_of_names - 3);
    std::istringstream cell(line.substr(0, end_of_names));
    for (std::string part; std::getline(cell, part, '`') && std::getline(cell, part, '`');) {
      std::istringstream words(of_phases);
      for (std::string phase; words >> phase;) {
        names[phase.substr(0, phase.find_first_of(",("))].insert(part);
      }
    }
  }
  return names;
}

/// The name without what repeats others of that name: evaluations. Empty: it is one of a data set or a reward, which
/// are documented by a pattern.
static std::string plain_name(std::string name, const std::set<std::string>& rewards) {
  name = name.starts_with("evaluation/") ? name.substr(11) : name;
  const bool of_a_set = name.starts_with("held_out/") && std::count(name.begin(), name.end(), '/') == 2;
  return of_a_set || rewards.contains(name) ? "" : name;
}

using names_of_phases = std::map<std::string, std::set<std::string>>;

static void add_recorded(const fs::path& run, names_of_phases& recorded) {
  for (const io::metrics_record& record : io::read_metrics(run / "metrics.jsonl")) {
    for (const auto& [name, value] : record.values) {
      EXPECT_TRUE(std::isfinite(value)) << name;
      recorded[record.phase].insert(plain_name(name, {"reward/happiness_mean", "reward/learned_mean"}));
    }
  }
}

TEST(MetricNames, AreThoseOfTheDocumentationPhaseByPhase) {
  const temporary_folder folder;
  const program_result result =  // whose updates are ended early, and learn from stored answers too
      run_program({"run", data / "jobs/tiny.ini", "--run.dir", folder / "run", "--ppo.target-kl", "1e-12",
                   "--experience.mix", "0.25", "--experience.max-staleness", "8"});
  ASSERT_EQ(result.status, 0) << result.output;
  const program_result again =
      run_program({"replay", folder / "run", "--run.dir", folder / "replay", "--to-iteration", "2"});
  ASSERT_EQ(again.status, 0) << again.output;
  names_of_phases recorded;
  add_recorded(folder / "run", recorded);
  add_recorded(folder / "replay", recorded);
  names_of_phases documented = documented_metrics();
  EXPECT_EQ(documented.size(), 5U) << "five phases";
  EXPECT_GT(documented.at("ppo").size(), 40U);
  for (const auto& [phase, names] : documented) {
    for (const std::string& name : names) {
      EXPECT_TRUE(recorded[phase].contains(name)) << name << " is documented and never recorded in " << phase;
    }
  }
  // A replay has those of ppo's updates as well, and its own on a page of its own.
  documented.at("replay").merge(std::set<std::string>(documented.at("ppo")));
  const std::string of_replays = io::read_text_file(source_tree() / "docs/replay.md");
  for (const std::string& name : recorded.at("replay")) {
    if (name.starts_with("replay/") && of_replays.find("`" + name + "`") != std::string::npos) {
      documented.at("replay").insert(name);
    }
  }
  for (const auto& [phase, names] : recorded) {
    for (const std::string& name : names) {
      EXPECT_TRUE(name.empty() || documented.at(phase).contains(name))
          << name << " of " << phase << " is not documented";
    }
  }
}

}  // namespace troupe::test
