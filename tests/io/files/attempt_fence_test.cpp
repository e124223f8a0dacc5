/// What is left of an attempt that is over: a process that was stopped at any moment, and wakes up when the next
/// attempt has done the same work. It must change nothing, even if all that it reads still says that it may.
#include "io/checkpoint/checkpoint.hpp"
#include "io/experience/experience.hpp"
#include "io/experience/pairs_file.hpp"
#include "io/files/attempt_fence.hpp"
#include "io/files/mapped_file.hpp"
#include "io/run/run_directory.hpp"
#include "io/weights/model_folder.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <fstream>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::temporary_folder;

using work = std::function<void(const run_directory& run, const attempt_fence& fence, int64_t attempt)>;

void write(const fs::path& path, std::string_view text) { std::ofstream(path) << text; }

/// Attempt 1 does `before` and then `late`, is stopped at each of its questions to the fence in turn, right after the
/// answer, and goes on when attempt 2 has done `next`. What is then in the run is for `look`.
void wake_up_late(const work& before, const work& late, const work& next,
                  const std::function<void(const run_directory&)>& look) {
  bool stopped = true;
  for (int moment = 1; stopped; ++moment) {
    SCOPED_TRACE(fmt::format("stopped at question {}", moment));
    const temporary_folder folder;
    const run_directory run = run_directory::open_or_create(folder / "run");
    before(run, run.fence(run.begin_attempt()), 1);
    stopped = false;
    int questions = 0;
    const attempt_fence hears_nothing(run.fence(1).folder(), [&] {
      if (++questions == moment) {
        stopped = true;
        next(run, run.fence(run.begin_attempt()), 2);
      }
    });
    try {
      late(run, hears_nothing, 1);
      EXPECT_FALSE(stopped) << "it believes that it has committed";
    } catch (const error&) {
      EXPECT_TRUE(stopped);
    }
    if (stopped) {
      look(run);
      EXPECT_FALSE(fs::exists(hears_nothing.folder()));
    }
    ASSERT_LT(moment, 50);
  }
}

void nothing(const run_directory&, const attempt_fence&, int64_t) {}

void checkpoint(const run_directory& run, const attempt_fence& fence, int64_t attempt) {
  const fs::path folder = checkpoint_folder(run.checkpoints(), "ppo", "iteration", 20);
  const std::vector<float> weights(12, static_cast<float>(attempt));
  checkpoint_content content;
  content.arrays.push_back({.name = "w", .shape = {12}, .values = weights, .fill = {}});
  const checkpoint_file file = write_checkpoint(folder, content, 0, 1, fence);
  commit_checkpoint(folder,
                    {.attempt = attempt,
                     .phase = "ppo",
                     .unit = "iteration",
                     .counter = 20,
                     .counters = {},
                     .digests = {},
                     .files = {file}},
                    fence);
}

void expect_checkpoint_of_the_second(const run_directory& run) {
  const fs::path folder = checkpoint_folder(run.checkpoints(), "ppo", "iteration", 20);
  const checkpoint_manifest manifest = read_manifest(folder);
  EXPECT_EQ(manifest.attempt, 2);
  verify_checkpoint(folder, manifest);
  EXPECT_EQ(checkpoint_reader(folder).read("w"), std::vector<float>(12, 2));
}

TEST(AttemptFence, CheckpointOfTheNextAttemptStaysWhole) {
  wake_up_late(nothing, checkpoint, checkpoint, expect_checkpoint_of_the_second);
}

TEST(AttemptFence, CheckpointWrittenOnceMoreKeepsItsManifest) {
  wake_up_late(checkpoint, checkpoint, checkpoint, expect_checkpoint_of_the_second);
}

TEST(AttemptFence, CheckpointOfTheNextAttemptIsNotRemoved) {
  const work remove = [](const run_directory& run, const attempt_fence& fence, int64_t) {
    remove_checkpoints_after(run.checkpoints(), "ppo", 10, fence);
  };
  wake_up_late(checkpoint, remove, checkpoint, expect_checkpoint_of_the_second);
}

TEST(AttemptFence, ExperienceAndPairsOfTheNextAttemptStay) {
  const work rollout = [](const run_directory& run, const attempt_fence& fence, int64_t attempt) {
    experience e;
    e.seed = static_cast<uint64_t>(attempt);
    e.sequence_offset_B1 = e.answer_offset_B1 = {0};
    write_experience(run.experience(1), e, &fence);
    const made_pair pair{
        .prompt_ids = {1}, .chosen_ids = {2}, .rejected_ids = {3}, .chosen = fmt::format("of {}", attempt)};
    write_pairs_part(run, 0, std::vector<made_pair>{pair}, fence);
    join_pairs_parts(run, 1, fence);
  };
  wake_up_late(nothing, rollout, rollout, [](const run_directory& run) {
    EXPECT_EQ(read_experience(run.experience(1)).seed, 2U);
    EXPECT_NE(read_text_file(pairs_file(run)).find("of 2"), std::string::npos);
  });
  const work remove = [](const run_directory& run, const attempt_fence& fence, int64_t) {
    remove_experience_after(run.experience(), 0, fence);
  };
  wake_up_late(rollout, remove, rollout,
               [](const run_directory& run) { EXPECT_EQ(read_experience(run.experience(1)).seed, 2U); });
}

TEST(AttemptFence, ModelOfTheNextAttemptStays) {
  const work save = [](const run_directory& run, const attempt_fence& fence, int64_t attempt) {
    model_folder_contents contents;
    contents.config_json = "{}";
    contents.tensors = {{"a", dtype::f32, {1}}};
    contents.producer = [&](const std::function<void(host_array)>& sink) {
      sink(make_host_array("a", {1}, {static_cast<float>(attempt)}));
    };
    write_model_folder(run.model("sft"), contents, &fence);
  };
  const auto look = [](const run_directory& run) {
    EXPECT_EQ(to_float32(*model_folder::open(run.model("sft")).find("a")), std::vector<float>{2});
  };
  wake_up_late(nothing, save, save, look);
  wake_up_late(save, save, save, look);
}

TEST(AttemptFence, WhatIsTakenAwayLeavesItsNameAtOnceAndWhole) {
  const temporary_folder folder;
  const run_directory run = run_directory::open_or_create(folder / "run");
  const attempt_fence fence = run.fence(run.begin_attempt());
  fs::create_directories(run.model("sft"));
  write(run.model("sft") / "config.json", "{}");
  const fs::path taken = fence.take(run.model("sft"));
  EXPECT_FALSE(fs::exists(run.model("sft")));
  EXPECT_EQ(read_text_file(taken / "config.json"), "{}");
  fence.commit(taken, run.model("old"));
  fence.remove(run.model("old"));
  EXPECT_TRUE(fs::is_empty(run.models()));
  expect_error(errc::io_failure, "cannot rename", [&] { fence.remove(run.model("old")); });
}

TEST(AttemptFence, EndOfAnAttemptShutsItOutToo) {
  const temporary_folder folder;
  const run_directory run = run_directory::open_or_create(folder / "run");
  const attempt_fence fence = run.fence(run.begin_attempt());
  write(fence.workplace(run.experience(1)), "half");
  run.end_attempt();
  EXPECT_FALSE(fs::exists(fence.folder()));
  expect_error(errc::io_failure, "No such file", [&] {
    write_experience(run.experience(1), {.sequence_offset_B1 = {0}, .answer_offset_B1 = {0}}, &fence);
  });
  run.begin_attempt();
  expect_error(errc::interrupted, "attempt 2 has begun", [&] { fence.workplace(run.experience(1)); });
}

}  // namespace
}  // namespace troupe::io
