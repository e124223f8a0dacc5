/// Replay: the experience. It hands the policy's sequences to the scorers, each rank's share to those of that rank;
/// joins what policy and scorers say of each sequence by id, makes rewards and advantages of it, writes the experience
/// file, and serves minibatches. In the replay phase the sequences come from such files, with what was said of them;
/// what the policy would say of them now it may be asked besides. Some of earlier iterations may be mixed in, to be
/// learned from but not written once more. In the pairs phase it makes preference pairs instead.
/// It is on every rank, also on those without a model.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/cast/experience_record.hpp"
#include "actors/cast/minibatches.hpp"
#include "actors/cast/mixing.hpp"
#include "actors/cast/rollout.hpp"
#include "actors/cast/stored_rollouts.hpp"
#include "actors/protocol/interfaces.hpp"
#include "actors/protocol/rank_data.hpp"
#include "engine/objectives/importance.hpp"
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
  device_ptr on;
  io::ppo_section ppo;                            ///< how a rollout becomes experience
  minibatch_rules minibatches;                    ///< and experience minibatches
  double pair_margin = 0;                         ///< pairs phase: rewards of a pair differ by more
  std::vector<scoring_ranks> scorers;             ///< what each says makes a sequence complete
  std::vector<io::reward_source> reward_sources;  ///< in the order of the raw rewards
  std::optional<expected_experience> stored;      ///< where sequences come from files
  engine::importance_settings importance;         ///< of these, where an older policy sampled them
  std::optional<mixing_rules> mixing;             ///< where sequences of earlier iterations are mixed in
  std::shared_ptr<const io::tokenizer> tokens;
  experience_origin origin;
  io::run_directory run;
  uint64_t attempt = 0;            ///< may write only while it is the run's
  engine::communicator_ptr group;  ///< every rank assembles the rollout of all; rank 0 writes the files
};

class replay_state {
public:
  static inline const char* name = "replay";

  void open(replay_settings settings);

  // The handlers of replay_actor (interfaces.hpp).
  void meet(const cast& company) { company_ = company; }
  void add(const sequence_handle& sequence) { finished_.push_back(sequence); }
  void add(const scores_handle& scores) { scores_.push_back(scores); }
  int64_t hand_over();
  recall_reply recall(const recall_command& command);
  statistics mix(mix_command command);
  assemble_reply assemble(const assemble_command& command);
  train_reply make_pairs();
  bool save_pairs(uint64_t iteration) const;
  serve_reply serve(const minibatch_command& command);

private:
  static constexpr size_t stored_scorers = 3;  ///< reference, reward and critic

  /// A new rollout begins: no rank has been given a sequence of it to score.
  void share_out();
  void hand_to_scorers(const sequence_handle& sequence);
  /// Hands each to the policy's scorer of one of its ranks.
  void hand_to_policy(const rollout& stored);
  /// Sequences of all ranks, by id.
  using collected = std::map<uint64_t, scored_sequence>;
  /// What the scorers of all ranks have said joins the sequences.
  void take_scores();
  /// The sequences, of which none is left.
  /// Errors  bad_argument: one has not so many scores.
  static rollout take(collected& from, size_t scores);
  /// Takes what was handed over, with the scores of all ranks.
  /// Errors  bad_argument: a sequence lacks a part; lost_peer.
  rollout take_rollout();
  bool writes_files() const { return settings_->group->rank() == 0; }
  /// Errors  not_finite: a source that always has a reward said NaN, or any said infinity; bad_argument: a source had
  ///         none for more answers than the job allows.
  void require_rewards(const rollout& sequences) const;
  /// The weighted sum of a sequence's raw rewards; NaN where one that counts has none.
  float total_reward(const scored_sequence& scored) const;
  /// How many have something to say of each sequence.
  size_t judges() const { return settings_->scorers.size() + (recalled_ ? stored_scorers : 0); }
  /// What was said of the sequences, end to end.
  engine::rollout_arrays join(const rollout& sequences) const;
  /// Compares what was made of a stored rollout with what the run made of it, and weighs it.
  void finish_recalled(const rollout& sequences, assemble_reply& reply);
  /// What is learned from is the assembled rollout and these.
  void learn_from_too(rollout stored, const engine::experience_settings& how, assemble_reply& reply);
  io::made_pair make_pair(const scored_sequence& chosen, const scored_sequence& rejected) const;
  void add_raw_means(const rollout& sequences, statistics& to) const;
  /// Adds the means of the raw rewards, and the rollouts that are shown.
  void report(const rollout& sequences, assemble_reply& reply) const;
  void write(const rollout& sequences, const assemble_command& command, bool finite) const;

  std::optional<replay_settings> settings_;
  std::vector<double> reward_weight_S_;  ///< of its reward sources
  cast company_;
  std::vector<engine::token_shares> shares_;  ///< by scorer: of its ranks in the rollout that is being collected
  std::vector<sequence_handle> finished_;     ///< by this rank's policy, not handed over yet
  std::vector<scores_handle> scores_;         ///< by this rank's scorers
  collected rollout_;                         ///< being collected
  collected mixed_;                           ///< of earlier iterations, to be learned from beside it

  std::optional<stored_rollouts> files_;
  std::optional<stored_rollout> recalled_;  ///< the rollout that is being collected; its sequences are in `rollout_`
  recall_command recall_;

  rollout assembled_;              ///< and what was mixed in, behind it
  engine::rollout_arrays arrays_;  ///< of `assembled_`
  bool as_sampled_ = true;         ///< before its first update the policy gives what the arrays start from
  uint64_t assembled_iteration_ = 0;

  std::vector<io::made_pair> pairs_;  ///< made last
};

/// Spawn it detached: its handlers block while they work.
replay_actor::behavior_type replay(replay_actor::stateful_pointer<replay_state> self, replay_settings settings);

}  // namespace troupe::actors
