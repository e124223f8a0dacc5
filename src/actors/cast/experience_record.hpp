/// An assembled rollout as its file has it (io/experience/experience.hpp).
#pragma once

#include "actors/cast/rollout.hpp"
#include "actors/protocol/messages.hpp"
#include "engine/train/experience.hpp"
#include "io/experience/experience.hpp"
#include "io/job/job.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace troupe::actors {

/// What every file of a run says of the run.
struct experience_origin {
  uint64_t seed = 1;
  io::generation_section generation;
  std::vector<std::string> source_names;  ///< data sets
  std::string job_digest;
  std::string policy_digest, reference_digest, critic_digest;  ///< of weights, at the phase's start
  bool text = true;                                            ///< prompts and answers are written as text too
};

/// What the command says of the phase's state before the iteration.
io::shaping_state shaping_of(const assemble_command& command);

/// `arrays`: what has been made of the answers of `sequences`, end to end. `rewards`: in the order of the raw rewards.
io::experience record_of(const experience_origin& origin, const assemble_command& command, const rollout& sequences,
                         const engine::rollout_arrays& arrays, const std::vector<io::reward_source>& rewards,
                         const io::tokenizer& tokens);

}  // namespace troupe::actors
