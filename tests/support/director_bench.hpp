/// An actor that has what a director has, and does with it what a test says: for the parts of plans, against a stub
/// cast.
#pragma once

#include "actors/director/checkpointing.hpp"
#include "actors/director/context.hpp"
#include "support/stepped_actors.hpp"
#include "support/stub_cast.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe::test {

/// What a test has the director do.
using director_work = std::function<actors::task<>(actors::director_context& on, actors::checkpointing& checkpoints)>;

struct bench_state {
  std::optional<actors::director_context> context;
  std::optional<actors::checkpointing> checkpoints;
  actors::task<> performance;
};

class DirectorBench : public ::testing::Test {
protected:
  void SetUp() override;
  void TearDown() override;

  /// For tests that change what the cast answers.
  stub_cast& cast(size_t ranks = 1) { return cast_ ? *cast_ : cast_.emplace(actors_, ranks); }

  /// Sets the stage, and does the work until nothing is left to do.
  void perform(io::phase phase, director_work work);
  void stop() { caf::anon_send(bench_, actors::stop_atom_v); }

  /// Calls `react` when any rank hears what begins so; what it throws is the answer.
  void when(const std::string& heard, std::function<void()> react) {
    cast().hook = [heard, react = std::move(react)](size_t, const std::string& what) {
      if (what.starts_with(heard)) {
        react();
      }
    };
  }

  /// Of a rank's list, what begins with one of these.
  static std::vector<std::string> only(const std::vector<std::string>& list,
                                       const std::vector<std::string>& beginnings) {
    std::vector<std::string> some;
    for (const std::string& line : list) {
      for (const std::string& beginning : beginnings) {
        if (line.starts_with(beginning)) {
          some.push_back(line);
        }
      }
    }
    return some;
  }

  temporary_folder folder_;
  io::run_directory run_ = io::run_directory::open_or_create(folder_ / "run");
  io::job job_;
  stepped_actors actors_;

  // How the work ended.
  bool ended_ = false, dropped_ = false;
  std::optional<error> failure_;

private:
  actors::task<> watch(bench_state* state, io::phase phase, director_work work);

  std::optional<stub_cast> cast_;
  actors::director_actor bench_;
};

}  // namespace troupe::test
