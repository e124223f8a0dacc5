// Checkpoints of many ranks, written by one number of them and read by another.
#include "actors/cast/checkpointer.hpp"
#include "base/random.hpp"
#include "support/local_ranks.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>

namespace troupe::actors {
namespace {

constexpr int64_t attempt = 1;

io::run_directory make_run(const std::filesystem::path& root) {
  const io::run_directory run = io::run_directory::open_or_create(root);
  const io::run_lock lock(run);
  run.begin_attempt();
  return run;
}

/// What a rank of a phase has: a model that learns, its average, and the checkpointer of both.
struct rank_of_phase {
  trained_model_ptr trained = std::make_shared<trained_model>();
  std::shared_ptr<engine::weight_average> average;
  checkpointer_state checkpointer;

  rank_of_phase(engine::world& here, const io::run_directory& run, int zero, bool copies = true) {
    trained->of = load_model(test_data() + "/tiny/gpt2", head_kind::language_model,
                             {.group = zero == 3 ? here.open("weights") : nullptr});
    trained->learner = std::make_unique<engine::learner>(trained->of->net, engine::learner_settings{.zero = zero},
                                                         here.open("gradients"));
    average = std::make_shared<engine::weight_average>(trained->learner->plan(), here.open("average"),
                                                       trained->of->weights.data(), 0.9);
    const bool writes = here.rank() == 0;
    const engine::communicator_ptr group = here.open("checkpoints");
    checkpointer.open({.run = run,
                       .group = group,
                       .attempt = attempt,
                       .phase = io::phase::sft,
                       .unit = "update",
                       .keep = 2,
                       .copies = copies,
                       .digests = {},
                       .on = std::make_shared<device>(1),
                       .models = {{"policy", trained}},
                       .average = average,
                       .saved = {{"sft", trained->of, writes, nullptr, 0}, {"ema", trained->of, writes, average, 0}}});
  }
};

/// The value of each logical element of an arena by the arena's purpose.
void fill(const engine::parameter_layout& layout, uint64_t purpose, float* arena) {
  for (const engine::parameter& p : layout.all()) {
    std::vector<float> values = engine::read_parameter(p, arena);
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(random_normal({purpose, static_cast<uint64_t>(p.offset)}, i));
    }
    engine::write_parameter(p, values, arena);
  }
}

enum purpose : uint64_t { weights = 1, first, second, averaged };

std::vector<float> expected(const engine::parameter_layout& layout, uint64_t of) {
  std::vector<float> arena(static_cast<size_t>(layout.arena_size()));
  fill(layout, of, arena.data());
  return arena;
}

/// The rank's shard of a whole arena.
std::vector<float> shard_of(const engine::shard_plan& plan, int rank, const std::vector<float>& arena) {
  std::vector<float> shard;
  for (int64_t s = 0; s < plan.segments(); ++s) {
    const engine::arena_range part = plan.part(s, rank);
    shard.insert(shard.end(), arena.begin() + part.first, arena.begin() + part.last);
  }
  return shard;
}

/// A whole arena in which only the rank's parts are left.
std::vector<float> parts_of(const engine::shard_plan& plan, int rank, std::vector<float> arena) {
  for (int64_t s = 0; s < plan.segments(); ++s) {
    std::fill(arena.begin() + plan.segment(s).first, arena.begin() + plan.part(s, rank).first, 0.0F);
    std::fill(arena.begin() + plan.part(s, rank).last, arena.begin() + plan.segment(s).last, 0.0F);
  }
  return arena;
}

/// Each array of a rank and what it is to hold.
std::vector<std::pair<std::span<float>, std::vector<float>>> arrays_of(rank_of_phase& one) {
  engine::learner& learner = *one.trained->learner;
  const engine::parameter_layout& layout = one.trained->of->net.layout();
  const auto held = [&](uint64_t purpose, bool whole) {
    const std::vector<float> arena = expected(layout, purpose);
    return whole ? arena : shard_of(*learner.plan(), learner.rank(), arena);
  };
  const auto held_here = [&](uint64_t purpose, const engine::rank_weights& of) {
    const std::vector<float> arena = held(purpose, true);
    return of.sharded() ? parts_of(*learner.plan(), learner.rank(), arena) : arena;
  };
  engine::rank_weights& own = one.trained->of->weights;
  engine::rank_weights& average = one.average->weights();
  return {{{own.begin(), own.end()}, held_here(weights, own)},
          {learner.first_moment().span(), held(first, learner.whole_moments())},
          {learner.second_moment().span(), held(second, learner.whole_moments())},
          {{average.begin(), average.end()}, held_here(averaged, average)}};
}

/// All ranks write, then rank 0 commits. The files' digests.
std::vector<std::string> write(const io::run_directory& run, int ranks, int zero, bool copies = true) {
  const auto worlds = engine::local_worlds(ranks, std::chrono::minutes(1));
  std::vector<std::unique_ptr<rank_of_phase>> phase;
  commit_command command{.counter = 3, .files = {}};
  for (const auto& world : worlds) {
    phase.push_back(std::make_unique<rank_of_phase>(*world, run, zero, copies));
    rank_of_phase& one = *phase.back();
    for (const auto& [array, values] : arrays_of(one)) {
      EXPECT_EQ(array.size(), values.size());
      std::copy(values.begin(), values.end(), array.begin());
    }
    one.trained->learner->set_updates(3);
    one.checkpointer.snapshot({.phase = io::phase::sft, .counter = 3, .values = {{"x", 1.5}}});
    if (one.checkpointer.writes_later()) {
      for (const auto& [array, values] : arrays_of(one)) {
        std::fill(array.begin(), array.end(), 0.0F);  // training goes on
      }
      one.checkpointer.write();
    }
    command.files.push_back(one.checkpointer.durable());
    EXPECT_EQ(one.checkpointer.durable().name, "") << "told once";
  }
  const durable_report report = phase.front()->checkpointer.commit(command);
  EXPECT_EQ(report.path, "checkpoints/sft/update-000003");
  EXPECT_EQ(report.counter, 3U);
  std::vector<std::string> digests;
  for (const written_file& file : command.files) {
    digests.push_back(file.digest);
  }
  return digests;
}

struct reader {
  int ranks, zero;
};

class CheckpointOfRanks : public testing::TestWithParam<reader> {};

TEST_P(CheckpointOfRanks, IsReadByAnyNumberOfThemInAnyStage) {
  const auto [ranks, zero] = GetParam();
  for (const reader writer : {reader{3, 2}, reader{3, 3}, reader{2, 0}, reader{1, 0}}) {
    const test::temporary_folder folder;
    const io::run_directory run = make_run(folder / "run");
    const bool writer_copies = writer.zero % 2 == 0;
    write(run, writer.ranks, writer.zero, writer_copies);
    constexpr uint64_t any = 1000;
    test::as_local_ranks(ranks, [&](engine::world& here) {  // they give each other what each has read
      rank_of_phase one(here, run, zero, !writer_copies);
      const located_checkpoint located = one.checkpointer.locate(any);
      ASSERT_TRUE(located.found && located.problem.empty()) << located.problem;
      const damage_report checked = one.checkpointer.verify(located);
      EXPECT_EQ(checked.file, -1) << checked.problem;
      const phase_state state = one.checkpointer.restore(located);
      EXPECT_EQ(state.counter, 3U);
      EXPECT_EQ(state.values, (statistics{{"x", 1.5}}));
      EXPECT_EQ(one.trained->learner->updates(), 3);
      for (const auto& [array, values] : arrays_of(one)) {
        EXPECT_EQ(std::vector<float>(array.begin(), array.end()), values) << "rank " << here.rank();
      }
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Readers, CheckpointOfRanks,
                         testing::Values(reader{1, 0}, reader{2, 1}, reader{3, 0}, reader{4, 2}, reader{3, 3}),
                         [](const auto& info) {
                           return std::to_string(info.param.ranks) + "ranks_zero" + std::to_string(info.param.zero);
                         });

TEST(Checkpointer, WritesTheSameFilesWithoutACopy) {
  for (const reader writer : {reader{1, 0}, reader{2, 0}, reader{3, 1}, reader{3, 3}}) {
    const test::temporary_folder folder;
    EXPECT_EQ(write(make_run(folder / "copied"), writer.ranks, writer.zero),
              write(make_run(folder / "in place"), writer.ranks, writer.zero, false))
        << writer.ranks << " ranks, stage " << writer.zero;
  }
}

TEST(Checkpointer, FindsNothingInANewRunAndStartsThere) {
  const test::temporary_folder folder;
  const io::run_directory run = make_run(folder / "run");
  rank_of_phase one(*engine::solo_world(), run, 0);
  const auto before = std::vector<float>(one.trained->of->weights.begin(), one.trained->of->weights.end());
  const located_checkpoint located = one.checkpointer.locate(1);
  EXPECT_FALSE(located.found);
  const phase_state state = one.checkpointer.restore(located);
  EXPECT_EQ(state.phase, io::phase::sft);
  EXPECT_EQ(state.counter, 0U);
  EXPECT_EQ(std::vector<float>(one.trained->of->weights.begin(), one.trained->of->weights.end()), before);
}

TEST(Checkpointer, FilesWithoutACommitAreNoCheckpoint) {
  const test::temporary_folder folder;
  const io::run_directory run = make_run(folder / "run");
  rank_of_phase one(*engine::solo_world(), run, 0);
  one.checkpointer.snapshot({.phase = io::phase::sft, .counter = 1, .values = {}});
  one.checkpointer.write();
  EXPECT_NE(one.checkpointer.durable().name, "");
  EXPECT_EQ(one.checkpointer.commit({}).path, "") << "a commit without files makes nothing";
  EXPECT_FALSE(one.checkpointer.locate(2).found);
}

void flip_byte(const std::filesystem::path& path) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekg(100);
  const auto byte = static_cast<char>(file.get() ^ 1);
  file.seekp(100).put(byte);
}

/// Each of three files, and checkpoint.h5, is looked at by one of two ranks.
TEST(Checkpointer, EveryFileIsInTheShareOfOneRank) {
  const test::temporary_folder folder;
  const io::run_directory run = make_run(folder / "run");
  write(run, 3, 2);
  const auto worlds = engine::local_worlds(2, std::chrono::minutes(1));
  rank_of_phase first(*worlds[0], run, 0);
  rank_of_phase second(*worlds[1], run, 0);
  const located_checkpoint located = first.checkpointer.locate(4);
  ASSERT_EQ(located.files.size(), 4U);
  for (size_t i = 0; i < located.files.size(); ++i) {
    flip_byte(run.root() / located.path / located.files[i].name);
    const damage_report report = (i % 2 == 0 ? first : second).checkpointer.verify(located);
    EXPECT_EQ(report.file, static_cast<int64_t>(i));
    EXPECT_NE(report.problem.find(located.files[i].name), std::string::npos) << report.problem;
    EXPECT_EQ((i % 2 == 0 ? second : first).checkpointer.verify(located).file, -1);
    flip_byte(run.root() / located.path / located.files[i].name);
  }
}

/// The files that rank 0 writes of weights and of an average that lie in shards are those that a rank alone writes.
TEST(Checkpointer, SavesWholeModelsFromTheirShards) {
  const test::temporary_folder folder;
  std::vector<std::string> files;
  for (const auto& [ranks, zero] : {reader{1, 1}, reader{3, 1}, reader{3, 3}}) {
    const io::run_directory run = make_run(folder / ("run" + std::to_string(files.size())));
    test::as_local_ranks(ranks, [&, ranks = ranks, zero = zero](engine::world& here) {
      rank_of_phase one(here, run, zero);
      for (const auto& [array, values] : arrays_of(one)) {
        std::copy(values.begin(), values.end(), array.begin());
      }
      const auto paths = one.checkpointer.save_all();
      EXPECT_EQ(paths,
                here.rank() == 0 ? (std::vector<std::string>{"models/sft", "models/ema"}) : std::vector<std::string>{});
      if (ranks > 1) {  // each segment comes once
        const int64_t shard = one.average->plan().shard_size(here.rank()) * 4;
        EXPECT_EQ(one.average->weights().group()->sent().gathered, (ranks - 1) * shard);
      }
    });
    std::string both;
    for (const char* name : {"sft", "ema"}) {
      std::ifstream file(run.model(name) / "model.safetensors", std::ios::binary);
      both.append(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    files.push_back(std::move(both));
  }
  EXPECT_GT(files[0].size(), 1000U);
  EXPECT_TRUE(files[0] == files[1]);
  EXPECT_TRUE(files[0] == files[2]);
}

}  // namespace
}  // namespace troupe::actors
