/// Replay: the experience. It joins what the policy and the scorers say of each sequence by id, makes rewards and
/// advantages of it, writes the experience file, and serves minibatches. In the pairs phase it makes preference pairs.
#pragma once

#include "actors/material.hpp"
#include "actors/rollout.hpp"
#include "actors/type_ids.hpp"
#include "engine/train/experience.hpp"
#include "io/experience.hpp"
#include "io/job.hpp"
#include "io/run_directory.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <caf/all.hpp>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace troupe::actors {

using replay_actor = caf::typed_actor<
    // A finished sequence from the policy.
    caf::reacts_to<sequence_handle>,
    // What a scorer says of one.
    caf::reacts_to<scores_handle>,
    // INTERNAL: who learns from minibatches: policy and critic. Sent once, when the cast is complete.
    caf::reacts_to<introduce_atom, caf::actor, caf::actor>,
    // Joins the rollout, makes rewards and advantages, writes the file. Errors  not_finite: written for inspection.
    caf::replies_to<assemble_atom, assemble_command>::with<assemble_reply>,
    // Makes preference pairs of the rollout (pairs phase) and writes that iteration's part.
    caf::replies_to<save_atom, uint64_t>::with<train_reply>,
    // Sends a minibatch of the assembled rollout to policy and critic; the loss terms are its answer tokens.
    caf::replies_to<serve_atom, minibatch_command>::with<serve_reply>>;

struct replay_settings {
  io::job job;
  io::phase phase = io::phase::ppo;
  io::run_directory run;
  std::shared_ptr<const io::tokenizer> tokens;
  std::vector<io::reward_source> reward_sources;  ///< in the order of the raw rewards
  std::vector<std::string> source_names;          ///< data sets
  std::string job_digest, policy_digest;
  uint64_t attempt = 0;            ///< may write only while it is the run's
  int scorers = 1;                 ///< how many parts make a sequence complete
  engine::communicator_ptr group;  ///< every rank assembles the rollout of all; rank 0 writes the files
};

class replay_state {
public:
  static inline const char* name = "replay";

  void open(replay_settings settings) { settings_.emplace(std::move(settings)); }
  void add(const sequence_handle& sequence) { rollout_[sequence->sequence_id].sequence = sequence; }
  void add(const scores_handle& scores);
  assemble_reply assemble(const assemble_command& command);
  train_reply save_pairs(uint64_t iteration);
  serve_reply serve(const minibatch_command& command);
  void set_learners(std::vector<caf::actor> learners) { learners_ = std::move(learners); }

private:
  /// Takes what all ranks have collected.   Errors  bad_argument: a sequence lacks a part; lost_peer.
  rollout take_rollout();
  bool writes_files() const { return settings_->group->rank() == 0; }
  float total_reward(const scored_sequence& one) const;
  void join(const rollout& sequences);
  void describe(const rollout& sequences, assemble_reply& reply) const;
  io::experience file_contents(const rollout& sequences, const assemble_command& command) const;
  void write(const rollout& sequences, const assemble_command& command, bool finite) const;
  minibatch::part make_part(const engine::packed_batch& packed, const std::vector<int64_t>& order, int64_t first,
                            const engine::answer_counts& counts) const;

  std::optional<replay_settings> settings_;
  std::vector<caf::actor> learners_;
  std::map<uint64_t, scored_sequence> rollout_;  ///< being collected on this rank

  rollout assembled_;
  engine::rollout_arrays arrays_;  ///< of `assembled_`
  uint64_t assembled_iteration_ = 0;
};

replay_actor::behavior_type replay(replay_actor::stateful_pointer<replay_state> self, replay_settings settings);

}  // namespace troupe::actors
