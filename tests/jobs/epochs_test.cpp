// From epochs to updates: as many as the data of a phase give.
#include "jobs/epochs.hpp"
#include "support/temporary_folder.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>

namespace troupe {
namespace {

/// Ten records, all of them for sft.
class Epochs : public ::testing::Test {
protected:
  void SetUp() override {
    std::ofstream file(folder / "a.jsonl");
    for (int i = 0; i < 10; ++i) {
      file << fmt::format(R"({{"prompt": "question {}", "answer": "yes"}})", i) << "\n";
    }
    job.run.dir = folder / "run";
    job.run.phases = {io::phase::sft};
    job.data = {{.name = "a", .path = folder / "a.jsonl"}};
    job.split = {.sft = 1, .reward = 0, .ppo = 0, .held_out = 0};
    job.sft.training = {.epochs = 2, .batch = 4};
  }

  int64_t count(int64_t updates_in_the_job = 0) const {
    std::vector<phase_plan> plans = {{.phase = "sft", .unit = "update", .count = updates_in_the_job}};
    count_epochs(job, plans);
    return plans.front().count;
  }

  test::temporary_folder folder;
  io::job job;
};

TEST_F(Epochs, UpdatesAreThoseThatTheRecordsGive) {
  EXPECT_EQ(count(), 5);
  job.sft.training.epochs = 1;
  EXPECT_EQ(count(), 2) << "two and a half, of which the half is left";
}

TEST_F(Epochs, OneUpdateIsTheLeast) {
  job.sft.training.batch = 100;
  EXPECT_EQ(count(), 1);
}

TEST_F(Epochs, WhatTheJobSaysStays) { EXPECT_EQ(count(7), 7); }

TEST_F(Epochs, DataThatAreNotHereLeaveTheCountOpen) {
  job.data.front().path = folder / "elsewhere.jsonl";
  EXPECT_EQ(count(), 0);
}

TEST_F(Epochs, PairsThatTheRunHasYetToMakeLeaveTheCountOpen) {
  job.run.phases = {io::phase::pairs, io::phase::sft};
  job.pairs.phases = {io::phase::sft};
  EXPECT_EQ(count(), 0);
}

}  // namespace
}  // namespace troupe
