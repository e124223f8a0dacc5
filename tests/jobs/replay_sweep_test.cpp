// A sweep's grid, by the words that ask for it, and what is shown of its variants.
#include "jobs/commands.hpp"
#include "jobs/curves.hpp"
#include "jobs/replay_comparison.hpp"
#include "jobs/replay_request.hpp"
#include "jobs/replay_sweep.hpp"
#include "jobs/sweep_report.hpp"
#include "support/errors.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <limits>
#include <set>
#include <thread>

namespace troupe {
namespace {

using words = std::vector<std::string>;
using test::error_text;

TEST(ReplayRequest, TakesItsOwnWordsAndLeavesTheJobs) {
  const replay_request request =
      read_replay_request({"runs/a", "--ppo.gamma", "0.9", "--from-iteration", "3", "--json", "--run.dir=runs/b",
                           "--to-iteration", "7", "--sweep", "ppo.clip=0.1,0.2", "--sweep", "ppo.epochs=1,2"});
  EXPECT_EQ(request.run, "runs/a");
  EXPECT_EQ(request.from, 3);
  EXPECT_EQ(request.to, 7);
  EXPECT_TRUE(request.json);
  EXPECT_FALSE(request.verify);
  EXPECT_EQ(request.sweep, (words{"ppo.clip=0.1,0.2", "ppo.epochs=1,2"}));
  EXPECT_EQ(request.options, (words{"--ppo.gamma", "0.9", "--run.dir=runs/b"}));
}

TEST(ReplayRequest, RefusesWhatCannotBeMeant) {
  EXPECT_NE(error_text([] { read_replay_request({}); }), "");
  EXPECT_NE(error_text([] { read_replay_request({"--verify", "runs/a"}); }), "") << "the run comes first";
  EXPECT_NE(error_text([] { read_replay_request({"runs/a", "--from-iteration", "-1"}); }), "");
  EXPECT_NE(error_text([] { read_replay_request({"runs/a", "--to-iteration"}); }), "");
  EXPECT_NE(error_text([] { read_replay_request({"runs/a", "--verify", "--sweep", "ppo.gamma=1,0.9"}); }), "");
  EXPECT_NE(error_text([] { read_replay_request({"runs/a", "--slurm"}); }), "");
  for (const words& twice : {words{"--from-iteration", "1", "--from-iteration=2"},
                             words{"--replay.from-iteration", "2", "--from-iteration", "1"},
                             words{"--to-iteration", "1", "--sweep", "replay.to-iteration=2,3"},
                             words{"--to-iteration", "1", "--sweep", " replay.to-iteration = 2"}}) {
    words arguments = twice;
    arguments.insert(arguments.begin(), "runs/a");
    EXPECT_NE(error_text([&] { read_replay_request(arguments); }).find("twice"), std::string::npos) << twice.back();
  }
}

TEST(ReplaySweep, AGridTurnsItsLastAxisFastest) {
  const auto grid = variants_of({read_axis("ppo.kl-coef=0,0.1"), read_axis("ppo.epochs=1,2,4")});
  ASSERT_EQ(grid.size(), 6U);
  EXPECT_EQ(grid[0].name, "ppo.kl-coef=0_ppo.epochs=1");
  EXPECT_EQ(grid[1].name, "ppo.kl-coef=0_ppo.epochs=2");
  EXPECT_EQ(grid[5].name, "ppo.kl-coef=0.1_ppo.epochs=4");
  EXPECT_EQ(grid[5].options, (words{"--ppo.kl-coef", "0.1", "--ppo.epochs", "4"}));
  std::set<std::string> names;
  for (const sweep_variant& variant : grid) {
    names.insert(variant.name);
  }
  EXPECT_EQ(names.size(), grid.size());
}

TEST(ReplaySweep, AnAxisIsAnOptionAndItsValues) {
  EXPECT_EQ(read_axis("a.b=1").values, words{"1"});
  for (const char* bad : {"", "ppo.clip", "ppo.clip=", "=1,2", "ppo.clip=1,,2", "ppo.clip=1,1"}) {
    EXPECT_NE(error_text([&] { read_axis(bad); }), "") << bad;
  }
  EXPECT_NE(error_text([] { variants_of({read_axis("a.b=1"), read_axis("a.b=2")}); }), "");
}

TEST(ReplaySweep, BlanksAroundAValueAreNoneOfIt) {
  const sweep_axis axis = read_axis(" ppo.gamma = 1e-5, 1e-4 ");
  EXPECT_EQ(axis.option, "ppo.gamma");
  EXPECT_EQ(axis.values, (words{"1e-5", "1e-4"}));
  EXPECT_NE(error_text([] { read_axis("ppo.gamma=1, 1"); }), "");
  EXPECT_NE(error_text([] { read_axis("ppo.gamma=1, "); }), "");
}

TEST(ReplaySweep, TwoVariantsHaveNotOneFolder) {
  const std::string told = error_text([] { variants_of({read_axis("a.b=0 1,0-1")}); });
  EXPECT_NE(told.find("a.b=0-1"), std::string::npos) << told;
}

TEST(ReplaySweep, AValueMakesNoFolderElsewhere) {
  EXPECT_EQ(variants_of({read_axis("a.b=../x/y")}).front().name, "a.b=..-x-y");
}

/// Two variants; while one runs, the sweep gets a signal. Which of them have begun?
class SweepSignals : public ::testing::Test {
protected:
  SweepSignals() {
    for (const char* name : {"one", "two"}) {
      variants_.push_back({.variant = {.name = name, .options = {}}, .job = {}});
      variants_.back().job.run.dir = folder_ / name;
    }
  }
  int sweep(int signal) {
    return run_sweep(variants_, [&](const io::job& job) {
      std::ofstream(job.run.dir) << "begun";
      ::kill(::getppid(), signal);
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      return exit_ok;
    });
  }
  bool begun(const std::string& name) const { return std::filesystem::exists(folder_ / name); }

  test::temporary_folder folder_;
  std::vector<planned_variant> variants_;
};

TEST_F(SweepSignals, AClosedTerminalIsAStop) {
  EXPECT_NE(sweep(SIGHUP), exit_ok);
  EXPECT_TRUE(begun("one"));
  EXPECT_FALSE(begun("two"));
}

TEST_F(SweepSignals, UnderNohupAClosedTerminalChangesNothing) {
  std::signal(SIGHUP, SIG_IGN);
  EXPECT_EQ(sweep(SIGHUP), exit_ok);
  std::signal(SIGHUP, SIG_DFL);
  EXPECT_TRUE(begun("one"));
  EXPECT_TRUE(begun("two"));
}

TEST(SweepReport, WordsThatAreNotUtf8ArePassedOn) {
  const std::string text = sweep_json({{.name = "a\xff", .state = "failed", .reason = "b\xfe"}});
  EXPECT_EQ(nlohmann::json::parse(text).at("variants").at(0).at("name"), "a\xef\xbf\xbd");
  const std::string compared = comparison_json({.live = "runs/\xff"});
  EXPECT_EQ(nlohmann::json::parse(compared).at("live"), "runs/\xef\xbf\xbd");
}

TEST(SweepReport, ShowsTheLastOfEachVariant) {
  variant_outcome one{.name = "ppo.clip=0.1", .state = "finished", .reason = "", .iterations = 2, .seconds = 61};
  one.metrics["replay/ess_share"] = {{1, 1.0}, {2, 0.75}};
  variant_outcome two{.name = "ppo.clip=0.2", .state = "failed", .reason = "too far", .iterations = 0, .seconds = 0};
  const std::string text = sweep_text({one, two});
  EXPECT_NE(text.find("0.75"), std::string::npos) << text;
  EXPECT_NE(text.find("  failed\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\nppo.clip=0.2: too far\n"), std::string::npos) << text;
  const auto object = nlohmann::json::parse(sweep_json({one, two}));
  EXPECT_EQ(object.at("variants").at(0).at("replay/ess_share"), 0.75);
  EXPECT_EQ(object.at("variants").at(1).at("reason"), "too far");
  EXPECT_FALSE(object.at("variants").at(1).contains("replay/ess_share"));
}

TEST(Curves, AreDrawnWithinTheirPanels) {
  const double none = std::numeric_limits<double>::quiet_NaN();
  const std::string svg = curves_svg({{.title = "a < b", .curves = {{"one", {{1, 2}, {2, none}, {3, 4}}}, {"two", {}}}},
                                      {.title = "empty", .curves = {{"one", {}}, {"two", {}}}}},
                                     "iteration");
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_NE(svg.find("a &lt; b"), std::string::npos);
  EXPECT_NE(svg.find("points=\"52.0,160.0 288.0,26.0 \""), std::string::npos)
      << "from the lower left to the upper right";
  EXPECT_NE(svg.find("nothing recorded"), std::string::npos);
  EXPECT_TRUE(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
}

}  // namespace
}  // namespace troupe
