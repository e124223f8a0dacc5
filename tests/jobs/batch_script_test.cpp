// The batch script: what is asked of Slurm, and the words of it.
#include "jobs/batch_script.hpp"
#include "jobs/job_plan.hpp"
#include "support/errors.hpp"
#include "support/test_data.hpp"
#include "support/text_search.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace troupe {
namespace {

using test::contains;

TEST(OpenFiles, ThreeForEachRankAndGuardAQuarterForHandshakesAndItsOwn) {
  EXPECT_EQ(open_files_for(1, 1), 94);       // ceil(4 / 3 * (3 * 2 + 64))
  EXPECT_EQ(open_files_for(512, 64), 2390);  // ceil(4 / 3 * (3 * 576 + 64))
}

/// Supervised training of a tiny model, whose plan takes less than a GiB on any number of ranks.
io::job tiny_job() {
  io::job job;
  job.run.dir = "/runs/none";
  job.run.phases = {io::phase::sft};
  job.model.policy = test_data() + "/tiny/llama";
  job.sft.training.updates = 10;
  return job;
}

TEST(PlanBatchJob, WhatIsAskedForStands) {
  io::job job = tiny_job();
  job.place.ranks = 4;
  const submit_request request{.nodes = 2, .cpus_per_rank = 3, .memory_gib = 5, .time = "2-12", .partition = "long"};
  const batch_job batch = plan_batch_job(job, request);
  EXPECT_EQ(batch.ranks, 4);
  EXPECT_EQ(batch.ranks_per_node, 2);
  EXPECT_EQ(batch.nodes_most, 2);
  EXPECT_EQ(batch.nodes_least, 1);
  EXPECT_EQ(batch.ranks_packed, 4) << "all on the node that is left";
  EXPECT_EQ(batch.cpus_per_rank, 3);
  EXPECT_EQ(batch.memory_gib, 5);
  EXPECT_EQ(batch.time, "2-12");
  EXPECT_EQ(batch.open_files, 0) << "as many as every process has";
}

TEST(PlanBatchJob, MemoryIsThatOfAFullNodeAndATenth) {
  io::job job = tiny_job();
  job.place.ranks = 64;
  const submit_request request{.nodes = 8, .gflops = 1};
  const batch_job packed = plan_batch_job(job, request);
  const double rank = static_cast<double>(plan_job(job).front().peak_bytes());
  EXPECT_EQ(packed.ranks_packed, 10) << "64 ranks on 7 nodes";
  EXPECT_EQ(packed.memory_gib, static_cast<int64_t>(std::ceil(1.1 * 10 * rank / (1 << 30))));
  EXPECT_EQ(packed.memory_steps.front().nodes_left, 8);
  EXPECT_GT(packed.memory_steps.back().memory_gib, packed.memory_gib) << "one node that holds all";
  job.place.shrink = true;
  const batch_job shrunk = plan_batch_job(job, request);
  EXPECT_EQ(shrunk.ranks_packed, 8) << "at full strength";
  EXPECT_TRUE(contains(shrunk.memory_reason, "with 56 ranks when nodes are lost")) << shrunk.memory_reason;
  EXPECT_TRUE(shrunk.memory_steps.empty());
}

TEST(PlanBatchJob, WithLanesRanksShrinkToWhatDividesThem) {
  io::job job = tiny_job();
  job.place.ranks = 64;
  job.place.shrink = true;
  job.run.lanes = 64;
  EXPECT_TRUE(contains(plan_batch_job(job, {.nodes = 8, .gflops = 1}).memory_reason, "with 32 ranks when nodes"));
}

TEST(PlanBatchJob, TimeIsThePlansAQuarterMoreAndTenMinutes) {
  const io::job job = tiny_job();
  const phase_plan plan = plan_job(job).front();
  // At a pace at which all ten updates take 4,000 s: 5,000 s and 600 s, in whole minutes.
  const double gflops = plan.flops_each * 10 / 4000 / 1e9;
  const batch_job batch = plan_batch_job(job, {.gflops = gflops});
  EXPECT_EQ(batch.time, "01:34:00");
  EXPECT_TRUE(contains(batch.time_reason, "as stated")) << batch.time_reason;
}

TEST(PlanBatchJob, OnCardsNodesHaveNoMoreRanksThanCards) {
  io::job job = tiny_job();
  job.place.device = io::device_choice::cuda;
  job.place.ranks = 8;
  const submit_request request{.nodes = 3, .gpus_per_node = 4};
  const batch_job batch = plan_batch_job(job, request);
  EXPECT_EQ(batch.gpus_per_node, 4);
  EXPECT_EQ(batch.ranks_per_node, 3);
  EXPECT_EQ(batch.nodes_least, 2);
  EXPECT_EQ(batch.ranks_packed, 4);
  for (const memory_step& step : batch.memory_steps) {
    EXPECT_GE(step.nodes_left, 2) << "one node has no card for each rank";
  }
  EXPECT_EQ(batch.time, "04:00:00");
  EXPECT_EQ(batch.time_reason, "a guess: how fast a card works is not known; --time is better");
  job.place.min_nodes = 1;
  EXPECT_EQ(plan_batch_job(job, request).ranks_packed, 4) << "with one node left the job waits in the queue";
}

/// A sweep's tasks are all asked for alike: whichever variant needs most decides.
TEST(PlanBatchArray, ServesTheTaskThatNeedsMost) {
  const io::job small = tiny_job();
  io::job large = small;
  large.sft.training.micro_batch_tokens = 1 << 20;
  large.sft.training.batch = 4096;
  io::job wide = small;
  wide.place.ranks = 3;
  const submit_request request{.gflops = 1};
  const batch_job alone = plan_batch_job(large, request);
  ASSERT_GT(alone.memory_gib, plan_batch_job(small, request).memory_gib);
  for (const std::vector<io::job>& jobs : {std::vector{small, large, wide}, std::vector{wide, large, small}}) {
    const batch_job all = plan_batch_array(jobs, request);
    EXPECT_EQ(all.memory_gib, alone.memory_gib);
    EXPECT_EQ(all.memory_reason, alone.memory_reason);
    EXPECT_EQ(all.time, alone.time);
    EXPECT_EQ(all.time_reason, alone.time_reason);
    EXPECT_EQ(all.ranks_per_node, 3);
  }
}

TEST(PlanBatchJob, FewerNodesThanTheJobNeedsAreRefused) {
  io::job job = tiny_job();
  job.place.min_nodes = 3;
  test::expect_error(errc::bad_argument, "--nodes 2 is less than place.min-nodes = 3",
                     [&] { plan_batch_job(job, {.nodes = 2}); });
}

class BatchScript : public ::testing::Test {
protected:
  std::string script() const { return batch_script(batch, origin); }

  batch_job batch = {.memory_reason = "as asked for", .time = "01:00:00", .time_reason = "a guess"};
  script_origin origin = {.name = "demo",
                          .run_dir = "/runs/my run",
                          .program = "/bin/troupe",
                          .folder = "/home/ada",
                          .command = {"/home/ada/demo.ini", "--ppo.clip", "0.1"}};
};

TEST_F(BatchScript, OneNodeAsksForLittle) {
  const std::string text = script();
  for (const char* line :
       {"#!/bin/bash\n", "#SBATCH --job-name=demo\n", "#SBATCH --output='/runs/my run/slurm-%j.log'\n",
        "#SBATCH --nodes=1\n", "#SBATCH --cpus-per-task=8           # of a node: 1 of 1 rank, 8 threads each",
        "#SBATCH --mem=1G                    # as asked for\n", "cd /home/ada || exit 1\nTROUPE=/bin/troupe\n",
        "command=(/home/ada/demo.ini\n  --ppo.clip 0.1)\n", "troupe_run() {"}) {
    EXPECT_TRUE(contains(text, line)) << line << "\n" << text;
  }
  EXPECT_TRUE(text.ends_with("\ntroupe_run \"${command[@]}\"\n"));
  EXPECT_FALSE(contains(text, "--no-kill"));
  EXPECT_FALSE(contains(text, "ulimit"));
}

TEST_F(BatchScript, CardsAreAskedForANode) {
  EXPECT_FALSE(contains(script(), "gpus"));
  batch.ranks = batch.ranks_per_node = batch.gpus_per_node = 4;
  const std::string text = script();
  EXPECT_TRUE(contains(text, "#SBATCH --gpus-per-node=4           # a card for each rank of a node\n")) << text;
  EXPECT_TRUE(contains(text, "#SBATCH --cpus-per-task=32          # of a node: 4 of 4 ranks, 8 threads each")) << text;
}

TEST_F(BatchScript, NoNameEndsTheLineOfAComment) {
  const auto refusal = [&] { return test::error_text([&] { script(); }); };
  origin.command.front() = "/home/ada/demo\ntouch x;.ini";
  EXPECT_TRUE(contains(refusal(), "control character")) << refusal();
  origin.command.front() = "/home/ada/demo.ini";
  origin.run_dir = "/runs/my\nrun";
  EXPECT_TRUE(contains(refusal(), "control character")) << refusal();
  origin.run_dir = "/runs/my run";
  origin.command = {"/home/ada/demo.ini", "--generation.stop", "\n"};
  EXPECT_TRUE(contains(script(), "--generation.stop '\n')\n")) << "a value is quoted, and may have lines";
}

TEST_F(BatchScript, SeveralNodesMayBeFewerAndSayWhatThatCosts) {
  batch.nodes_least = 3;
  batch.nodes_most = 4;
  batch.memory_steps = {{4, 10}, {3, 14}, {2, 20}, {1, 40}};
  batch.open_files = 4096;
  const std::string text = script();
  EXPECT_TRUE(contains(text, "#SBATCH --nodes=3-4 ")) << text;
  EXPECT_TRUE(contains(text, "#SBATCH --no-kill ")) << text;
  EXPECT_TRUE(contains(text, "by nodes left: 4: 10G, 3: 14G, 2: 20G, 1: 40G.")) << text;
  EXPECT_TRUE(contains(text, "ulimit -S -n 4096")) << text;
}

TEST_F(BatchScript, WhatTheUserAddsStandsBeforeTheCommand) {
  batch.sbatch = {"--qos=high"};
  batch.setup = "module load openmpi";
  const std::string text = script();
  EXPECT_TRUE(contains(text, "#SBATCH --qos=high\n")) << text;
  const size_t setup = text.find("# What --setup gave:\nmodule load openmpi\n\n");
  ASSERT_NE(setup, std::string::npos) << text;
  EXPECT_LT(setup, text.find("command=("));
}

}  // namespace
}  // namespace troupe
