#include "actors/hosts/allocation.hpp"
#include "support/refusal.hpp"

#include <gtest/gtest.h>

#include <random>

namespace troupe::actors {

using test::refusal;
using strings = std::vector<std::string>;
using counts = std::vector<int64_t>;

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

TEST(SlurmNotation, CardsOfANodeAreCountedOverTheirTypes) {
  EXPECT_EQ(sum_of_cards("4"), 4);
  EXPECT_EQ(sum_of_cards("h100:4"), 4);
  EXPECT_EQ(sum_of_cards("h100:2,a100:1"), 3);
  EXPECT_EQ(sum_of_cards("h100"), 1);
  for (const char* bad : {"", ",", "h100:", "h100:x", "4,", "h100:9999999999", "999999,999999", "a[1]"}) {
    EXPECT_NE(refusal([&] { sum_of_cards(bad); }), "") << bad;
  }
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
  const auto given = read_allocation(
      slurm({{"SLURM_CPUS_PER_TASK", "2"}, {"SLURM_RESTART_COUNT", "3"}, {"SLURM_GPUS_PER_NODE", "h100:4"}}));
  ASSERT_TRUE(given);
  EXPECT_EQ(given->cards_per_host, 4);
  EXPECT_EQ(read_allocation(slurm())->cards_per_host, 0);
  EXPECT_FALSE(given->cards_per_rank);
  EXPECT_TRUE(read_allocation(slurm({{"SLURM_GPUS_PER_TASK", "1"}}))->cards_per_rank);
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
  EXPECT_FALSE(read_allocation({{"SLURM_JOB_ID", "1"}})) << "inherited from a job that this is no step of";
}

TEST(Allocation, AJobsNumberAloneIsNoAllocation) {
  EXPECT_FALSE(read_allocation({{"SLURM_JOB_ID", "1"}})) << "set by hand, for scontrol";
  EXPECT_FALSE(read_allocation({{"SLURM_JOB_ID", "1"}, {"SLURM_JOB_NODELIST", ""}}));
}

TEST(Allocation, IsOverWhenSlurmSaysSo) {
  for (const char* said : {"slurm_load_jobs error: Invalid job id specified\n", "COMPLETED\n", "CANCELLED\n",
                           "TIMEOUT\n", "NODE_FAIL\n", "OUT_OF_MEMORY\n", "FAILED\n", "PREEMPTED\n"}) {
    EXPECT_TRUE(is_over(said)) << said;
  }
  for (const char* said : {"RUNNING\n", "COMPLETING\n", "SUSPENDED\n", "",
                           "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n",
                           "timeout: failed to run command 'squeue': No such file or directory\n"}) {
    EXPECT_FALSE(is_over(said)) << said;
  }
}

TEST(Allocation, FallsBackToTheCountOfThisNode) {
  environment variables = slurm({{"SLURM_CPUS_ON_NODE", "8"}, {"SLURMD_NODENAME", "login1"}});
  variables.erase("SLURM_JOB_CPUS_PER_NODE");
  const auto given = read_allocation(variables);
  EXPECT_EQ(given->cpus, counts({8, 8, 8, 8}));
  EXPECT_EQ(given->batch_host, "") << "an interactive allocation: the shell is on none of its nodes";
}

TEST(Allocation, ErrorsNameTheVariable) {
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

}  // namespace troupe::actors
