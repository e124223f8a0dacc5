// The command line of `troupe submit`: its own options, and what is left for the job.
#include "jobs/submit_request.hpp"
#include "support/errors.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <fstream>

namespace troupe {
namespace {

using words = std::vector<std::string>;

/// What is said of arguments that cannot be meant.
std::string refusal(words arguments) {
  return test::error_text([&] { take_request(arguments); });
}

TEST(TakeRequest, OwnOptionsGoAndTheJobsStay) {
  words arguments = {"job.ini",  "--nodes",       "4",        "--mem=64",   "--run.dir",
                     "runs/a",   "--time",        "4:00:00",  "--sbatch",   "--qos=high",
                     "--sbatch", "--exclusive",   "--gflops", "12.5",       "--account",
                     "physics",  "--signal-lead", "300",      "--ppo.clip", "-1"};
  const submit_request request = take_request(arguments);
  EXPECT_EQ(arguments, (words{"job.ini", "--run.dir", "runs/a", "--ppo.clip", "-1"}));
  EXPECT_EQ(request.nodes, 4);
  EXPECT_EQ(request.ranks_per_node, 0);
  EXPECT_EQ(request.memory_gib, 64);
  EXPECT_EQ(request.time, "4:00:00");
  EXPECT_EQ(request.gflops, 12.5);
  EXPECT_EQ(request.account, "physics");
  EXPECT_EQ(request.signal_lead_s, 300);
  EXPECT_EQ(request.sbatch, (words{"--qos=high", "--exclusive"}));
}

TEST(TakeRequest, SetupIsTheTextOfAFile) {
  const test::temporary_folder folder;
  std::ofstream(folder / "setup.sh") << "module load openmpi\n";
  words arguments = {"job.ini", "--setup", folder / "setup.sh"};
  EXPECT_EQ(take_request(arguments).setup, "module load openmpi\n");
  EXPECT_NE(refusal({"job.ini", "--setup", folder / "none.sh"}).find("none.sh"), std::string::npos);
}

TEST(TakeRequest, WhatCannotBeMeantIsRefusedByName) {
  const std::pair<words, std::string> wrong[] = {
      {{"--nodes"}, "--nodes needs a value"},
      {{"--nodes", "none"}, "--nodes none: give it a number above 0"},
      {{"--nodes", "-1"}, "--nodes -1: give it a number above 0"},
      {{"--nodes", "3", "--nodes", "9"}, "--nodes is given twice, as 3 and as 9"},
      {{"--mem", "2.5"}, "--mem 2.5: give it a number above 0"},
      {{"--partition", "a b"}, "--partition \"a b\": a word without spaces"},
      {{"--sbatch", "qos=high"}, "--sbatch qos=high: an option of sbatch, as one word"},
      {{"--sbatch", "--mem=3G"}, "the script has its own --mem"},
      {{"--sbatch", "--gpus-per-node=3"}, "the script has its own --gpus-per-node"},
      {{"--qos=high"}, "troupe submit has no option --qos"},
  };
  for (const auto& [arguments, said] : wrong) {
    EXPECT_NE(refusal(arguments).find(said), std::string::npos) << said << "\n" << refusal(arguments);
  }
}

TEST(RanksFor, TheRequestThenTheJobThenOneANode) {
  io::job job;
  EXPECT_EQ(ranks_for(job, {.nodes = 4}), 4);
  job.place.ranks = 6;
  EXPECT_EQ(ranks_for(job, {.nodes = 4}), 6);
  EXPECT_EQ(ranks_for(job, {.nodes = 4, .ranks_per_node = 2}), 8);
}

TEST(LeastNodesFor, TheJobThenOneFewer) {
  io::job job;
  EXPECT_EQ(least_nodes_for(job, {.nodes = 1}), 1);
  EXPECT_EQ(least_nodes_for(job, {.nodes = 4}), 3);
  job.place.min_nodes = 2;
  EXPECT_EQ(least_nodes_for(job, {.nodes = 4}), 2);
}

/// A job on cards, of so many ranks.
static io::job card_job(int64_t ranks) {
  io::job job;
  job.place.device = io::device_choice::cuda;
  job.place.ranks = ranks;
  return job;
}

TEST(RanksFor, OneForEachCardWhereTheJobDoesNotSay) {
  EXPECT_EQ(ranks_for(card_job(1), {.nodes = 2, .gpus_per_node = 4}), 8);
  EXPECT_EQ(ranks_for(card_job(6), {.nodes = 2, .gpus_per_node = 4}), 6);
  EXPECT_EQ(ranks_for(card_job(1), {.nodes = 2, .ranks_per_node = 3, .gpus_per_node = 4}), 6);
}

TEST(LeastNodesFor, EachRankKeepsACardUnlessThereMayBeFewer) {
  const submit_request request{.nodes = 3, .gpus_per_node = 4};
  EXPECT_EQ(least_nodes_for(card_job(12), request), 3) << "none to spare";
  EXPECT_EQ(least_nodes_for(card_job(8), request), 2);
  io::job job = card_job(12);
  job.place.shrink = true;
  EXPECT_EQ(least_nodes_for(job, request), 2);
}

TEST(RequireCards, TheyAreAskedForWhereTheJobTakesThemAndNowhereElse) {
  const auto refusal = [](const io::job& job, const submit_request& request) {
    return test::error_text([&] { require_cards(job, request); });
  };
  EXPECT_EQ(refusal(io::job(), {.gpus_per_node = 4}),
            "--gpus-per-node 4: this job does not run on cards: give --place.device cuda too");
  EXPECT_EQ(refusal(card_job(1), {.nodes = 2}),
            "place.device = cuda: say how many cards of a node to ask Slurm for, each of which gets a rank: "
            "--gpus-per-node N");
  EXPECT_EQ(refusal(card_job(1), {.nodes = 2, .ranks_per_node = 5, .gpus_per_node = 4}),
            "--ranks-per-node 5: each rank takes a card of its own, and --gpus-per-node asks for 4");
  EXPECT_EQ(refusal(card_job(9), {.nodes = 2, .gpus_per_node = 4}),
            "place.ranks = 9: each rank takes a card of its own, and --nodes 2 of --gpus-per-node 4 have 8");
  require_cards(card_job(8), {.nodes = 2, .gpus_per_node = 4});
  require_cards(io::job(), {.nodes = 2});
}

TEST(RunArguments, SettleRanksAndNodes) {
  const words arguments = run_arguments({"/home/ada/job.ini", "--place.ranks", "3", "--ppo.clip=0.1"}, io::job(),
                                        {.nodes = 4, .ranks_per_node = 2});
  EXPECT_EQ(arguments, (words{"/home/ada/job.ini", "--ppo.clip=0.1", "--place.ranks", "8", "--place.min-nodes", "3"}));
}

TEST(JobName, IsTheFilesWithoutWhatSlurmCannotShow) {
  EXPECT_EQ(job_name("recipes/opt-1.3b.ini"), "opt-1.3b");
  EXPECT_EQ(job_name("my job #1.ini"), "my-job--1");
}

}  // namespace
}  // namespace troupe
