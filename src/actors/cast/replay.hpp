/// Replay: the experience. It hands the policy's sequences to the scorers, each rank's share to those of that rank; joins
/// what policy and scorers say of each sequence by id, makes rewards and advantages of it, writes the experience file, and
/// serves minibatches. In the pairs phase it makes preference pairs. It is on every rank, also where no model is.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/cast/rollout.hpp"
#include "actors/protocol/interfaces.hpp"
#include "actors/protocol/rank_data.hpp"
#include "engine/parallel/division.hpp"
#include "engine/train/experience.hpp"
#include "io/experience/experience.hpp"
#include "io/experience/pairs_file.hpp"
#include "io/job/job.hpp"
#include "io/run/run_directory.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <caf/all.hpp>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace troupe::actors {

/// The ranks of a part that scores sequences.
struct scoring_ranks {
  scorer by = scorer::reward;
  std::vector<int> members;
};

struct replay_settings {
  io::job job;
  device_ptr on;
  int64_t shares = 1;  ///< of minibatches (micro_batch_rules)
  io::phase phase = io::phase::ppo;
  io::run_directory run;
  std::shared_ptr<const io::tokenizer> tokens;
  std::vector<io::reward_source> reward_sources;  ///< in the order of the raw rewards
  std::vector<std::string> source_names;          ///< data sets
  std::string job_digest, policy_digest;
  uint64_t attempt = 0;                ///< may write only while it is the run's
  std::vector<scoring_ranks> scorers;  ///< what each says makes a sequence complete
  engine::communicator_ptr group;      ///< every rank assembles the rollout of all; rank 0 writes the files
};

class replay_state {
public:
  static inline const char* name = "replay";

  void open(replay_settings settings);
  void meet(const cast& company) { company_ = company; }
  void add(const sequence_handle& sequence) { finished_.push_back(sequence); }
  void add(const scores_handle& scores) { scores_.push_back(scores); }
  int64_t hand_over();
  assemble_reply assemble(const assemble_command& command);
  train_reply make_pairs();
  bool save_pairs(uint64_t iteration) const;
  serve_reply serve(const minibatch_command& command);

private:
  void share_out();
  void hand_to_scorers(const sequence_handle& sequence);
  /// Takes what was handed over, with the scores of all ranks.
  /// Errors  bad_argument: a sequence lacks a part; lost_peer.
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
  cast company_;
  std::vector<engine::token_shares> shares_;     ///< by scorer: of its ranks in the rollout that is being collected
  std::vector<sequence_handle> finished_;        ///< by this rank's policy, not handed over yet
  std::vector<scores_handle> scores_;            ///< by this rank's scorers
  std::map<uint64_t, scored_sequence> rollout_;  ///< being collected: sequences of all ranks, by id

  rollout assembled_;
  engine::rollout_arrays arrays_;  ///< of `assembled_`
  uint64_t assembled_iteration_ = 0;

  std::vector<io::preference_text> pairs_;  ///< made last
};

replay_actor::behavior_type replay(replay_actor::stateful_pointer<replay_state> self, replay_settings settings);

}  // namespace troupe::actors
