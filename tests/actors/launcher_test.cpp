#include "actors/child_process.hpp"
#include "actors/launcher.hpp"
#include "kernels/base/error.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <future>
#include <limits>
#include <random>

namespace troupe::actors {

using strings = std::vector<std::string>;
using counts = std::vector<int64_t>;

template <class Call> std::string refusal(const Call& call) {
  try {
    call();
  } catch (const error& failure) {
    EXPECT_EQ(failure.code(), errc::bad_argument);
    return failure.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return "";
}

static bool has(const strings& words, const std::string& wanted) {
  return std::find(words.begin(), words.end(), wanted) != words.end();
}

// ---- Slurm's notation

TEST(SlurmNotation, ExpandsRangesListsAndLeadingZeros) {
  EXPECT_EQ(expand_hosts("login"), strings({"login"}));
  EXPECT_EQ(expand_hosts("node[1-3,7],gpu[008-011]"),
            strings({"node1", "node2", "node3", "node7", "gpu008", "gpu009", "gpu010", "gpu011"}));
  EXPECT_EQ(expand_hosts("n[9-11]-ib,x.site.org"), strings({"n9-ib", "n10-ib", "n11-ib", "x.site.org"}));
  EXPECT_EQ(expand_hosts("rack[0-1]n[1-2]"), strings({"rack0n1", "rack0n2", "rack1n1", "rack1n2"}));
  EXPECT_EQ(expand_hosts("[1-2]"), strings({"1", "2"}));
}

TEST(SlurmNotation, ExpandsCounts) {
  EXPECT_EQ(expand_counts("2(x3),1"), counts({2, 2, 2, 1}));
  EXPECT_EQ(expand_counts("64"), counts({64}));
}

TEST(SlurmNotation, RefusesWhatItCannotReadAndSaysWhere) {
  EXPECT_NE(refusal([] { expand_hosts("node[3-1]"); }).find("position 9: the range 3-1 falls"), std::string::npos);
  for (const char* bad : {"",
                          ",",
                          "a,",
                          ",a",
                          "a[",
                          "a[]",
                          "a[1",
                          "a[1-",
                          "a[1-]",
                          "a[-1]",
                          "a]",
                          "a[1]]",
                          "a[[1]]",
                          "a[1,]",
                          "a[1-2-3]",
                          "a[x]",
                          "a[1234567890]",
                          "a b",
                          "a[1-70000]",
                          "a[1-300]b[1-300]",
                          "a[ 1]"}) {
    EXPECT_NE(refusal([&] { expand_hosts(bad); }), "") << bad;
  }
  for (const char* bad : {"", "0", "-1", "2(x3", "2(3)", "2(x0)", "2(x3)1", "2,,1", "2(x99999)", "1234567890", "2x3"}) {
    EXPECT_NE(refusal([&] { expand_counts(bad); }), "") << bad;
  }
  EXPECT_NE(refusal([] { expand_hosts(std::string(300, 'a')); }), "");
}

/// Writes names the way Slurm does, from random prefixes, widths and ranges.
struct notation_writer {
  std::mt19937& random;

  int64_t draw(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random); }

  void add(std::string& text, strings& names) {
    const std::string prefix(static_cast<size_t>(draw(1, 4)), static_cast<char>('a' + draw(0, 25)));
    const auto width = static_cast<size_t>(draw(1, 4));
    const std::string suffix = draw(0, 1) == 0 ? "" : "-ib0";
    text += (text.empty() ? "" : ",") + prefix + "[";
    for (int64_t part = draw(1, 4), first = 1; part > 0; --part, first = 0) {
      const int64_t low = draw(0, 30);
      const int64_t high = low + draw(0, 12);
      text += (first == 1 ? "" : ",") + padded(low, width) + (high == low ? "" : "-" + padded(high, width));
      for (int64_t n = low; n <= high; ++n) {
        names.push_back(prefix + padded(n, std::max(width, std::to_string(low).size())) + suffix);
      }
    }
    text += "]" + suffix;
  }
  static std::string padded(int64_t n, size_t width) {
    const std::string digits = std::to_string(n);
    return std::string(digits.size() < width ? width - digits.size() : 0, '0') + digits;
  }
};

TEST(SlurmNotation, ReadsBackWhateverWasWritten) {
  std::mt19937 random(4);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    strings names;
    notation_writer writer{random};
    for (int64_t groups = writer.draw(1, 4); groups > 0; --groups) {
      writer.add(text, names);
    }
    ASSERT_EQ(expand_hosts(text), names) << text;
  }
}

TEST(SlurmNotation, RandomBytesAreReadOrRefusedNothingElse) {
  std::mt19937 random(5);
  const std::string letters = "[]-,0123456789ax() \xff";
  std::uniform_int_distribution<size_t> letter(0, letters.size() - 1);
  std::uniform_int_distribution<int> length(0, 24);
  int read = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (int i = length(random); i > 0; --i) {
      text += letters[letter(random)];
    }
    try {
      for (const std::string& host : expand_hosts(text)) {
        ASSERT_FALSE(host.empty()) << text;
        ASSERT_EQ(host.find_first_of("[], "), std::string::npos) << text;
      }
      ++read;
    } catch (const error& failure) {
      ASSERT_EQ(failure.code(), errc::bad_argument);
    }
    try {
      for (const int64_t count : expand_counts(text)) {
        ASSERT_GE(count, 1) << text;
      }
    } catch (const error& failure) {
      ASSERT_EQ(failure.code(), errc::bad_argument);
    }
  }
  EXPECT_GT(read, 100);
}

// ---- the allocation

static environment slurm(environment more = {}) {
  environment variables = {{"SLURM_JOB_ID", "42"},
                           {"SLURM_JOB_NODELIST", "node[1-4]"},
                           {"SLURM_JOB_CPUS_PER_NODE", "2(x3),1"},
                           {"SLURMD_NODENAME", "node1"}};
  for (auto& [name, value] : more) {
    variables[name] = value;
  }
  return variables;
}

TEST(Allocation, IsReadFromSlurmsVariables) {
  const auto given = read_allocation(slurm({{"SLURM_CPUS_PER_TASK", "2"}, {"SLURM_RESTART_COUNT", "3"}}));
  ASSERT_TRUE(given);
  EXPECT_EQ(given->job_id, "42");
  EXPECT_EQ(given->hosts, strings({"node1", "node2", "node3", "node4"}));
  EXPECT_EQ(given->cpus, counts({2, 2, 2, 1}));
  EXPECT_EQ(given->cpus_per_task, 2);
  EXPECT_EQ(given->batch_host, "node1");
  EXPECT_EQ(given->restarts, 3);
  EXPECT_EQ(requeue_command(*given), strings({"scontrol", "requeue", "42"}));
}

TEST(Allocation, IsNoneOutsideOfSlurm) {
  EXPECT_FALSE(read_allocation({}));
  EXPECT_FALSE(read_allocation({{"SLURM_CONF", "/etc/slurm.conf"}, {"SLURM_JOB_ID", ""}}));
}

TEST(Allocation, FallsBackToTheCountOfThisNode) {
  environment variables = slurm({{"SLURM_CPUS_ON_NODE", "8"}, {"SLURMD_NODENAME", "login1"}});
  variables.erase("SLURM_JOB_CPUS_PER_NODE");
  const auto given = read_allocation(variables);
  EXPECT_EQ(given->cpus, counts({8, 8, 8, 8}));
  EXPECT_EQ(given->batch_host, "") << "an interactive allocation: the shell is on none of its nodes";
}

TEST(Allocation, ErrorsNameTheVariable) {
  EXPECT_NE(refusal([] { read_allocation({{"SLURM_JOB_ID", "1"}}); }).find("SLURM_JOB_NODELIST"), std::string::npos);
  EXPECT_NE(refusal([] {
              read_allocation(slurm({{"SLURM_JOB_CPUS_PER_NODE", "2(x3)"}}));
            }).find("counts 3 nodes"),
            std::string::npos);
  EXPECT_NE(refusal([] {
              read_allocation(slurm({{"SLURM_CPUS_PER_TASK", "two"}}));
            }).find("SLURM_CPUS_PER_TASK"),
            std::string::npos);
  EXPECT_NE(refusal([] {
              read_allocation(slurm({{"SLURM_JOB_NODELIST", "a,b,c,a"}}));
            }).find("twice"),
            std::string::npos);
}

// ---- the plan

static allocation nodes(counts cpus) {
  allocation given;
  given.job_id = "42";
  for (size_t i = 0; i < cpus.size(); ++i) {
    given.hosts.push_back("node" + std::to_string(i + 1));
  }
  given.cpus = std::move(cpus);
  given.batch_host = "node1";
  return given;
}

static std::vector<host_share> on(std::initializer_list<host_share> shares) { return shares; }

TEST(Plan, OutsideOfSlurmIsAChildOrMpirun) {
  const launch_plan one = choose(std::nullopt, {.ranks = 1}, {}, 8);
  EXPECT_EQ(one.kind, launcher_kind::child);
  EXPECT_EQ(one.threads_per_rank, 0) << "all cores";
  const launch_plan four = choose(std::nullopt, {.ranks = 4}, {}, 8);
  EXPECT_EQ(four.kind, launcher_kind::mpirun);
  EXPECT_EQ(four.threads_per_rank, 2);
  EXPECT_FALSE(four.crowded);
  const launch_plan crowd = choose(std::nullopt, {.ranks = 4}, {}, 2);
  EXPECT_EQ(crowd.threads_per_rank, 1);
  EXPECT_TRUE(crowd.crowded);
}

TEST(Plan, SpreadsRanksEvenlyAndLeavesSparesAtTheEnd) {
  EXPECT_EQ(choose(nodes({2, 2, 2, 2}), {.ranks = 3}, {}).hosts, on({{"node1", 1}, {"node2", 1}, {"node3", 1}}));
  EXPECT_EQ(choose(nodes({2, 2, 2}), {.ranks = 6}, {}).hosts, on({{"node1", 2}, {"node2", 2}, {"node3", 2}}));
  EXPECT_EQ(choose(nodes({2, 2, 2}), {.ranks = 4}, {}).hosts, on({{"node1", 2}, {"node2", 1}, {"node3", 1}}));
  const launch_plan plan = choose(nodes({2, 2, 2}), {.ranks = 3}, {});
  EXPECT_EQ(plan.kind, launcher_kind::srun);
  EXPECT_EQ(plan.threads_per_rank, 2);
  EXPECT_EQ(plan.reason, "");
}

TEST(Plan, LargerHostsGetMoreRanks) {
  EXPECT_EQ(choose(nodes({1, 4, 1}), {.ranks = 6}, {}).hosts, on({{"node1", 1}, {"node2", 4}, {"node3", 1}}));
}

TEST(Plan, AFixedNumberPerNodeKeepsTheRestAsSpares) {
  const placement wanted{.ranks = 8, .ranks_per_node = 4};
  EXPECT_EQ(choose(nodes({8, 8, 8}), wanted, {}).hosts, on({{"node1", 4}, {"node2", 4}}));
  EXPECT_EQ(choose(nodes({8, 8, 8}), wanted, {"node1"}).hosts, on({{"node2", 4}, {"node3", 4}}));
  EXPECT_EQ(choose(nodes({8, 8, 8}), wanted, {"node1", "node2"}).hosts, on({{"node3", 8}}));
}

TEST(Plan, PacksTheSameRanksOnTheHostsThatAreLeft) {
  const launch_plan plan = choose(nodes({2, 2, 2}), {.ranks = 3}, {"node2"});
  EXPECT_EQ(plan.ranks, 3);
  EXPECT_EQ(plan.hosts, on({{"node1", 2}, {"node3", 1}}));
  EXPECT_EQ(plan.threads_per_rank, 1);
  EXPECT_FALSE(plan.crowded);
  EXPECT_EQ(plan.reason, "2 of 3 nodes are left for 3 ranks");
  EXPECT_TRUE(choose(nodes({2, 2, 2}), {.ranks = 3}, {"node2", "node3"}).crowded);
}

TEST(Plan, ASpareTakesTheLostHostsPlace) {
  EXPECT_EQ(choose(nodes({2, 2, 2, 2}), {.ranks = 3}, {"node2"}).hosts, on({{"node1", 1}, {"node3", 1}, {"node4", 1}}));
}

TEST(Plan, ShrinksToWhatTheHostsHeldBeforeAndTheLanesAllow) {
  EXPECT_EQ(choose(nodes({2, 2, 2}), {.ranks = 6, .shrink = true}, {"node3"}).ranks, 4);
  const placement lanes{.ranks = 4, .shrink = true, .lanes = 4};
  EXPECT_EQ(choose(nodes({2, 2, 2, 2}), lanes, {"node3"}).ranks, 2) << "3 hosts are left, but 3 does not divide 4";
  EXPECT_EQ(choose(nodes({2, 2, 2, 2}), lanes, {}).ranks, 4);
  EXPECT_EQ(choose(nodes({2, 2, 2, 2}), {.ranks = 3, .shrink = true}, {"node3"}).ranks, 3) << "there was a spare";
}

TEST(Plan, GoesBackToTheQueueWhenTooLittleIsLeft) {
  const launch_plan few = choose(nodes({2, 2, 2}), {.ranks = 3, .min_nodes = 2}, {"node1", "node2"});
  EXPECT_TRUE(few.requeue);
  EXPECT_EQ(few.ranks, 0);
  EXPECT_EQ(few.reason, "1 of 3 nodes are left, place.min-nodes = 2");
  EXPECT_TRUE(choose(nodes({2, 2}), {.ranks = 2}, {"node1", "node2"}).requeue) << "none is left at all";
  EXPECT_TRUE(choose(nodes({2, 2, 2}), {.ranks = 3, .shrink = true, .min_ranks = 3}, {"node1"}).requeue);
  EXPECT_FALSE(choose(nodes({2, 2, 2}), {.ranks = 3, .shrink = true, .min_ranks = 2}, {"node1"}).requeue);
}

TEST(Plan, OneRankOnTheBatchHostNeedsNoSrun) {
  EXPECT_EQ(choose(nodes({2, 2}), {.ranks = 1}, {}).kind, launcher_kind::child);
  const launch_plan elsewhere = choose(nodes({2, 2}), {.ranks = 1}, {"node1"});
  EXPECT_EQ(elsewhere.kind, launcher_kind::srun);
  EXPECT_EQ(elsewhere.hosts, on({{"node2", 1}}));
}

TEST(Plan, ThreadsFollowTheUsersWord) {
  allocation given = nodes({8, 8});
  EXPECT_EQ(choose(given, {.ranks = 2}, {}).threads_per_rank, 8);
  EXPECT_EQ(choose(given, {.ranks = 2, .threads_per_rank = 3}, {}).threads_per_rank, 3);
  given.cpus_per_task = 4;
  EXPECT_EQ(choose(given, {.ranks = 2}, {}).threads_per_rank, 4);
  EXPECT_EQ(choose(given, {.ranks = 4}, {"node1"}).threads_per_rank, 2) << "packed: fewer than asked for";
}

TEST(Plan, ExcludingAHostThatIsNotThereChangesNothing) {
  EXPECT_EQ(choose(nodes({2, 2}), {.ranks = 2}, {"node9"}).hosts, choose(nodes({2, 2}), {.ranks = 2}, {}).hosts);
}

TEST(Plan, RefusesRanksThatDoNotDivideTheLanes) {
  EXPECT_NE(refusal([] { choose(nodes({2}), {.ranks = 3, .lanes = 4}, {}); }), "");
  EXPECT_NE(refusal([] { choose(nodes({2}), {.ranks = 0}, {}); }), "");
}

/// Whatever hosts die: all ranks have a place, only on hosts that live, and no host could take one from another to the
/// better.
TEST(Plan, HoldsItsRulesForRandomClusters) {
  std::mt19937 random(6);
  const auto draw = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  for (int round = 0; round < 3000; ++round) {
    const allocation given = nodes(counts(static_cast<size_t>(draw(1, 9)), draw(1, 8)));
    std::set<std::string> lost;
    for (const std::string& host : given.hosts) {
      if (draw(0, 3) == 0) {
        lost.insert(host);
      }
    }
    const placement wanted{.ranks = draw(1, 20), .min_nodes = draw(1, 3)};
    const launch_plan plan = choose(given, wanted, lost);
    const auto left = static_cast<int64_t>(given.hosts.size() - lost.size());
    ASSERT_EQ(plan.requeue, left == 0 || left < wanted.min_nodes);
    if (plan.requeue) {
      continue;
    }
    int64_t sum = 0;
    int64_t least = std::numeric_limits<int64_t>::max();
    int64_t most = 0;
    for (const host_share& share : plan.hosts) {
      ASSERT_FALSE(lost.contains(share.host));
      sum += share.ranks;
      least = std::min(least, share.ranks);
      most = std::max(most, share.ranks);
    }
    ASSERT_EQ(sum, wanted.ranks);
    ASSERT_LE(most - least, 1) << "hosts are alike";
    ASSERT_EQ(static_cast<int64_t>(plan.hosts.size()), std::min(left, wanted.ranks));
    ASSERT_GE(plan.threads_per_rank, 1);
  }
}

// ---- the command

static const strings worker = {"/opt/troupe", "worker", "--attempt", "3"};

TEST(LaunchCommand, AChildIsTheWorkerItself) {
  const launch_command start = command_for(choose(std::nullopt, {.ranks = 1}, {}), worker, {}, true);
  EXPECT_EQ(start.argv, worker);
  EXPECT_TRUE(start.extra.empty());
}

TEST(LaunchCommand, MpirunConsentsForRootAndYieldsWhenCrowded) {
  const launch_plan plan = choose(std::nullopt, {.ranks = 4}, {}, 2);
  const launch_command start = command_for(plan, worker, {}, true);
  EXPECT_EQ(start.argv, strings({"mpirun", "-n", "4", "--oversubscribe", "--bind-to", "none", "/opt/troupe", "worker",
                                 "--attempt", "3"}));
  EXPECT_EQ(start.extra, environment({{"OMPI_ALLOW_RUN_AS_ROOT", "1"},
                                      {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
                                      {"OMPI_MCA_odls_base_sigkill_timeout", "0"},
                                      {"OMPI_MCA_mpi_yield_when_idle", "1"}}));
  EXPECT_EQ(command_for(choose(std::nullopt, {.ranks = 2}, {}, 2), worker, {}, false).extra,
            environment({{"OMPI_MCA_odls_base_sigkill_timeout", "0"}}));
}

TEST(LaunchCommand, WhatTheUserHasSetStays) {
  const launch_plan plan = choose(std::nullopt, {.ranks = 4}, {}, 2);
  const environment set = {{"OMPI_MCA_mpi_yield_when_idle", "0"}, {"OMPI_MCA_odls_base_sigkill_timeout", "5"}};
  EXPECT_TRUE(command_for(plan, worker, set, false).extra.empty());
}

TEST(LaunchCommand, SrunNamesAHostOncePerRank) {
  const launch_plan plan = choose(nodes({2, 2, 2}), {.ranks = 3}, {"node2"});
  const launch_command start = command_for(plan, worker, {}, true);
  EXPECT_EQ(start.argv.front(), "srun");
  for (const char* word : {"--overlap", "--kill-on-bad-exit=1", "--mpi=pmix", "--nodes=2", "--ntasks=3",
                           "--distribution=arbitrary", "--nodelist=node1,node1,node3", "--export=ALL"}) {
    EXPECT_TRUE(has(start.argv, word)) << word;
  }
  EXPECT_TRUE(std::equal(worker.rbegin(), worker.rend(), start.argv.rbegin()));
  EXPECT_TRUE(start.extra.empty());
}

TEST(LaunchCommand, OneRankBySrunNeedsNoMpi) {
  const launch_command start = command_for(choose(nodes({2, 2}), {.ranks = 1}, {"node1"}), worker, {}, true);
  EXPECT_TRUE(has(start.argv, "--mpi=none"));
}

TEST(LaunchCommand, RefusesAPlanThatStartsNothing) {
  const launch_plan none = choose(nodes({2}), {.ranks = 1}, {"node1"});
  EXPECT_NE(refusal([&] { command_for(none, worker, {}, true); }), "");
  EXPECT_NE(refusal([] { command_for(choose(std::nullopt, {.ranks = 1}, {}), {}, {}, true); }), "");
}

// ---- the process

static int status_of(const strings& arguments, const environment& extra) {
  std::promise<int> ended;
  const child_process child(
      arguments, [&](int status) { ended.set_value(status); }, extra);
  return ended.get_future().get();
}

TEST(ChildProcess, FindsProgramsInThePathAndAddsToTheEnvironment) {
  ::setenv("TROUPE_TEST_KEPT", "kept", 1);
  ::setenv("TROUPE_TEST_REPLACED", "old", 1);
  const std::string script = R"([ "$TROUPE_TEST_KEPT$TROUPE_TEST_REPLACED$TROUPE_TEST_ADDED" = "keptnewadded=1" ])";
  const int status =
      status_of({"sh", "-c", script}, {{"TROUPE_TEST_REPLACED", "new"}, {"TROUPE_TEST_ADDED", "added=1"}});
  EXPECT_EQ(status, 0) << describe_exit(status);
}

TEST(ChildProcess, AProgramThatIsNotThereIsAnError) {
  EXPECT_THROW(child_process({"no-such-program-at-all"}, [](int) {}), error);
}

TEST(ChildProcess, SignalsReachTheWholeGroup) {
  std::promise<int> ended;
  const child_process child({"sh", "-c", "sleep 60; true"}, [&](int status) { ended.set_value(status); });
  child.signal(SIGKILL);
  const int status = ended.get_future().get();
  EXPECT_TRUE(WIFSIGNALED(status));
}

TEST(GuardCommand, StartsOneGuardOnEachHostAndOutlivesTheLossOfOne) {
  const strings words = guard_command_for({"node2", "node4"}, {"/opt/troupe", "guard"}).argv;
  EXPECT_EQ(words.front(), "srun");
  EXPECT_TRUE(has(words, "--no-kill"));
  EXPECT_TRUE(has(words, "--overlap"));
  EXPECT_TRUE(has(words, "--nodes=2"));
  EXPECT_TRUE(has(words, "--ntasks=2"));
  EXPECT_TRUE(has(words, "--nodelist=node2,node4"));
  EXPECT_EQ(strings(words.end() - 2, words.end()), strings({"/opt/troupe", "guard"}));
  EXPECT_NE(refusal([] { guard_command_for({}, {"/opt/troupe", "guard"}); }), "");
  EXPECT_NE(refusal([] { guard_command_for({"node2"}, {}); }), "");
}

}  // namespace troupe::actors
