/// A reward source of the job, made ready to judge.
#pragma once

#include "actors/cast/judging.hpp"
#include "actors/models/model_files.hpp"
#include "io/job/job.hpp"

#include <filesystem>
#include <functional>

namespace troupe::actors {

struct judge_surroundings {
  std::filesystem::path own_model;        ///< the folder of a model that the source does not name
  model_loading loading = {};             ///< of the model
  std::function<void()> waiting = [] {};  ///< called again and again while a program is waited for
};

/// Reads what the source judges by: its model, or its word list. A program starts when it is first asked; what it says
/// beside its replies goes to the log.
/// Errors  those of load_model and io::lexicon::load.
reward_judge load_judge(const io::reward_source& source, const judge_surroundings& in);

}  // namespace troupe::actors
