/// The typed interfaces of all actors: the messages that each understands, with a comment on each message. What several
/// actors have in common is an interface of its own (scorer_actor, trainee_actor), by which any of them can be asked.
#pragma once

#include "actors/protocol/type_ids.hpp"

#include <caf/all.hpp>

namespace troupe::actors {

/// Watches over the run (supervisor/supervisor.hpp).
using supervisor_actor = caf::typed_actor<
    // The control channel is open: start the first attempt.
    caf::reacts_to<run_atom>,
    // A rank's first words; answered with the heart of its process (control/lifeline.hpp). Refused: a rank of another
    // attempt or version.
    caf::replies_to<hello>::with<caf::actor>,
    // A rank's sign of life.
    caf::reacts_to<beat_atom, beat>,
    // From the director: something for the ledger.
    caf::reacts_to<ledger_note>,
    // From the director: so many updates or iterations of a phase are done.
    caf::reacts_to<reached_atom, io::phase, uint64_t>,
    // From the director: the plan has ended.
    caf::reacts_to<attempt_result>,
    // The user wants the run to stop at the next boundary (the signal's number). SIGINT again: tells what is being
    // waited for; and once more: ends the run at once.
    caf::reacts_to<stop_atom, int32_t>,
    // INTERNAL: the launcher of this attempt has ended with this wait status.
    caf::reacts_to<exited_atom, uint64_t, int32_t>,
    // INTERNAL: time for the next attempt.
    caf::reacts_to<retry_atom>,
    // INTERNAL: time to look at the deadlines.
    caf::reacts_to<tick_atom>>;

/// Turns the phases of an attempt into commands (director/director.hpp).
using director_actor = caf::typed_actor<
    // The user wants to stop: at the next boundary, checkpoint and end the plan.
    caf::reacts_to<stop_atom>>;

/// Records what the director reports (director/metrics.hpp).
using metrics_actor = caf::typed_actor<
    // Writes a record. Answered, so that a full disk reaches the director.
    caf::replies_to<record_atom, metrics_record>::with<bool>,
    // A phase begins or goes on: drops what it will record again (first in the list), and what later phases recorded.
    caf::replies_to<truncate_atom, std::vector<stale_records>>::with<bool>,
    // How far a phase is.
    caf::reacts_to<progress_atom, progress_note>>;

/// Sets up a rank's cast for a phase (stage/stage.hpp).
using stage_actor = caf::typed_actor<
    // Sets the stage for a phase. Answers with the cast's handles.
    caf::replies_to<stage_atom, io::phase>::with<cast>,
    // The work is done: clears the stage and ends the worker.
    caf::reacts_to<quit_atom>>;

/// Owns a phase's data sets (cast/loader.hpp).
using loader_actor = caf::typed_actor<
    // Makes the batch and sends it to the phase's trainee (or the policy, where it is prompts); says what it holds.
    caf::replies_to<serve_atom, serve_command>::with<serve_reply>>;

/// Scores the sequences that the policy has finished: reference, reward model and critic.
using scorer_actor = caf::typed_actor<
    // A finished sequence, queued: this rank's share, from replay.
    caf::reacts_to<sequence_handle>,
    // Scores all that is queued; the scores go to replay.
    caf::replies_to<score_atom>::with<score_reply>>;

/// Computes gradients: policy, reward model and critic.
using trainee_actor = caf::typed_actor<
    // Gradients of a batch that was served before, accumulated for the optimizer.
    caf::replies_to<train_atom, train_command>::with<train_reply>>;

/// Learns from the batches that the loader serves, and is evaluated on others: policy and reward model.
using supervised_actor = trainee_actor::extend<
    // A batch from the loader, kept until a command names it.
    caf::reacts_to<batch_handle>,
    // Statistics of a held-out batch: each rank looks at its share of it. Collective.
    caf::replies_to<evaluate_atom, train_command>::with<train_reply>>;

/// The language model that is trained (cast/policy.hpp).
using policy_actor = supervised_actor::extend<
    // A minibatch from replay, kept until a command names it.
    caf::reacts_to<minibatch_handle>,
    // Runs a rollout a few decode steps further; what finishes goes to replay.
    caf::replies_to<generate_atom, generate_command>::with<generate_reply>>;

/// The frozen policy (cast/reference.hpp), or the policy itself where stored answers are scored. Its scores are
/// log-probabilities.
using reference_actor = scorer_actor;

/// Judges answers, and learns from pairs in the reward phase (cast/reward.hpp). Its scores are the raw reward of each
/// source.
using reward_actor = supervised_actor::extend_with<scorer_actor>;

/// Estimates values (cast/critic.hpp). Its scores are values.
using critic_actor = trainee_actor::extend_with<scorer_actor>::extend<
    // A minibatch from replay, kept until a command names it.
    caf::reacts_to<minibatch_handle>>;

/// Steps one trained model (cast/optimizer.hpp).
using optimizer_actor = caf::typed_actor<
    // One step with the gradients accumulated since the last one.
    // Errors  not_finite: nothing has changed.
    caf::replies_to<step_atom, step_command>::with<step_reply>,
    // Drops what has been accumulated. Answered when that is done: the model is not to be used before.
    caf::replies_to<discard_atom>::with<bool>>;

/// Averages the policy's weights (cast/ema.hpp).
using ema_actor = caf::typed_actor<
    // Folds in the policy's current weights; answers with the seconds it took.
    caf::replies_to<fold_atom>::with<double>>;

/// Owns the experience (cast/replay.hpp).
using replay_actor = caf::typed_actor<
    // A finished sequence from the policy.
    caf::reacts_to<sequence_handle>,
    // What a scorer says of one.
    caf::reacts_to<scores_handle>,
    // INTERNAL: this rank's cast, once it is complete: who scores sequences and who learns from minibatches.
    caf::reacts_to<introduce_atom, cast>,
    // Collective: hands what the policy has finished since the last time to the scorers. Says how many, of all ranks.
    caf::replies_to<hand_over_atom>::with<int64_t>,
    // Takes up a stored rollout, and hands it to those who score it once more.
    // Errors  bad_file, bad_argument: it is not this run's, of this iteration, or not whole.
    caf::replies_to<recall_atom, recall_command>::with<recall_reply>,
    // Collective: takes up stored answers beside the rollout that has been handed over or recalled, and hands them to
    // the policy's scorer. Says what was taken.
    // Errors  those of reading the files.
    caf::replies_to<mix_atom, mix_command>::with<statistics>,
    // Joins the rollout, makes rewards and advantages, writes the file.
    // Errors  not_finite: the file is written all the same, for inspection.
    caf::replies_to<assemble_atom, assemble_command>::with<assemble_reply>,
    // Makes preference pairs of the rollout (pairs phase).
    caf::replies_to<assemble_atom>::with<train_reply>,
    // Writes the pairs that were made last as that iteration's part.
    caf::replies_to<save_atom, uint64_t>::with<bool>,
    // Sends a minibatch of the assembled rollout to policy and critic; the loss terms are its answer tokens.
    caf::replies_to<serve_atom, minibatch_command>::with<serve_reply>>;

/// Writes and reads a rank's share of checkpoints (cast/checkpointer.hpp).
using checkpointer_actor = caf::typed_actor<
    // Copies everything in memory and answers; the file is written afterwards.
    caf::replies_to<snapshot_atom, phase_state>::with<snapshot_reply>,
    // INTERNAL: writes the copy.
    caf::reacts_to<run_atom>,
    // Answers once the file of the last snapshot is durable.
    // Errors  what went wrong with writing it.
    caf::replies_to<durable_atom>::with<written_file>,
    // Rank 0: makes a checkpoint of the ranks' files.
    caf::replies_to<commit_atom, commit_command>::with<durable_report>,
    // Rank 0: finds the phase's newest checkpoint before this counter; it may be damaged.
    caf::replies_to<locate_atom, uint64_t>::with<located_checkpoint>,
    // Compares this rank's share of its files with their digests.
    caf::replies_to<verify_atom, located_checkpoint>::with<damage_report>,
    // Fills this rank's arenas from it; where none was found there is nothing to do. Rank 0 also removes what lies
    // beyond it. Answers with the director's state.
    // Errors  bad_argument: the phase has other data or models than then.
    caf::replies_to<restore_atom, located_checkpoint>::with<phase_state>,
    // Collective: the first rank of each of the phase's models writes it as a Hugging Face folder. Answers with the
    // paths of what this rank wrote.
    caf::replies_to<save_atom>::with<std::vector<std::string>>>;

}  // namespace troupe::actors
