/// The messages that actors send each other. Between processes only the plain structs travel. Tensors stay in the
/// memory of their rank and go from actor to actor by handle (local_handle), which refuses to be sent anywhere else.
#pragma once

#include "base/error.hpp"
#include "io/job/job.hpp"
#include "io/run/ledger_kind.hpp"

#include <caf/all.hpp>

#include <bit>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace troupe::actors {

/// Named numbers as they appear in metrics.jsonl, for example "policy/loss". They travel as bits: CAF 0.17.6 packs a
/// double by arithmetic, which never ends for an infinity (a perplexity may be one) and turns a NaN into some number.
struct statistics : std::map<std::string, double> {
  using map::map;
  statistics(std::map<std::string, double> values) : map(std::move(values)) {}  // NOLINT(google-explicit-constructor)
};

template <class Inspector> auto inspect(Inspector& f, statistics& x) {
  std::map<std::string, uint64_t> bits;
  if constexpr (Inspector::reads_state) {
    for (const auto& [name, value] : x) {
      bits[name] = std::bit_cast<uint64_t>(value);
    }
  }
  return f(bits, caf::meta::load_callback([&] {
             x.clear();
             for (const auto& [name, value] : bits) {
               x[name] = std::bit_cast<double>(value);
             }
             return caf::error();
           }));
}

/// The number of that name, or 0 where there is none.
inline double statistic(const statistics& of, const std::string& name) {
  const auto found = of.find(name);
  return found != of.end() ? found->second : 0.0;
}

/// Keeps a rank-local object alive on its way from actor to actor. A plain shared_ptr would arrive null, and without an
/// error, at a remote actor; this one fails loudly when it is serialised.
template <class T> struct local_handle {
  std::shared_ptr<const T> value;

  const T& operator*() const { return *value; }
  const T* operator->() const { return value.get(); }
};

template <class Inspector, class T> caf::error inspect(Inspector&, local_handle<T>&) {
  return caf::make_error(caf::sec::runtime_error, errc::unsupported,
                         std::string("a handle to rank-local memory cannot leave its process"));
}

struct example_batch;  // what the loader serves (rank_data.hpp)
struct finished_sequence;
struct sequence_scores;
struct minibatch;

using batch_handle = local_handle<example_batch>;
using sequence_handle = local_handle<finished_sequence>;
using scores_handle = local_handle<sequence_scores>;
using minibatch_handle = local_handle<minibatch>;

/// What both sides of the control channel must have in common: the version of the project, and that of the messages,
/// which goes up with every change of them. An older program on some node would misread them.
inline std::string this_version() { return TROUPE_VERSION ", messages 8"; }

/// A rank's first words to the supervisor. The version is the first field and stays a text, so that any program can
/// read it.
struct hello {
  std::string version = this_version();
  uint64_t attempt = 0;
  int32_t rank = 0, ranks = 1;
  std::string host;
  int64_t pid = 0;
  caf::strong_actor_ptr stage;
};

template <class Inspector> auto inspect(Inspector& f, hello& x) {
  return f(caf::meta::type_name("hello"), x.version, x.attempt, x.rank, x.ranks, x.host, x.pid, x.stage);
}

/// What an actor of a rank is doing (base/pulse.hpp). `pulse` counts pieces of work done. If it stands still while
/// the rank shows signs of life, then the actor hangs in `operation`.
struct activity {
  std::string actor, operation;
  uint64_t pulse = 0;
  bool waits = false;  ///< for other ranks
};

template <class Inspector> auto inspect(Inspector& f, activity& x) {
  return f(caf::meta::type_name("activity"), x.actor, x.operation, x.pulse, x.waits);
}

/// Sent by a worker several times a second. Actors that have nothing to do are not named.
struct beat {
  uint64_t attempt = 0;
  int32_t rank = 0;
  std::vector<activity> busy;
};

template <class Inspector> auto inspect(Inspector& f, beat& x) {
  return f(caf::meta::type_name("beat"), x.attempt, x.rank, x.busy);
}

/// The actors of one rank for one phase (null: the phase or the rank has no such part), and what its loader found.
struct cast {
  caf::strong_actor_ptr loader, policy, reference, reward, critic;
  caf::strong_actor_ptr policy_optimizer, reward_optimizer, critic_optimizer;
  caf::strong_actor_ptr ema, replay, checkpointer;
  caf::strong_actor_ptr policy_scorer;  ///< what the policy says of stored answers
  int64_t held_out = 0;                 ///< examples
  int64_t epoch_size = 0;               ///< examples in a pass over the data, by the weights of their sources
  std::vector<std::string> notes;       ///< what became of the records, a line each
};

template <class Inspector> auto inspect(Inspector& f, cast& x) {
  return f(caf::meta::type_name("cast"), x.loader, x.policy, x.reference, x.reward, x.critic, x.policy_optimizer,
           x.reward_optimizer, x.critic_optimizer, x.ema, x.replay, x.checkpointer, x.policy_scorer, x.held_out,
           x.epoch_size, x.notes);
}

/// Which examples the loader is asked for.
enum class serving : uint8_t {
  training,          ///< the batch of an update: to the phase's trainee
  held_out,          ///< evaluation.records of the held-out split, as one batch: to the phase's trainee
  prompts,           ///< the prompts of an iteration: to the policy
  held_out_prompts,  ///< prompts of the held-out split: to the policy
  mixture,           ///< text for mixture training: to the policy
};

struct serve_command {
  serving what = serving::training;
  uint64_t counter = 0;  ///< update or iteration
};

template <class Inspector> auto inspect(Inspector& f, serve_command& x) {
  return f(caf::meta::type_name("serve_command"), x.what, x.counter);
}

struct serve_reply {
  uint64_t batch_id = 0;
  int64_t sequences = 0, tokens = 0;
  int64_t loss_terms = 0;  ///< what the loss is divided by: counted tokens, or pairs
};

template <class Inspector> auto inspect(Inspector& f, serve_reply& x) {
  return f(caf::meta::type_name("serve_reply"), x.batch_id, x.sequences, x.tokens, x.loss_terms);
}

/// Runs this rank's share of a rollout for at most `steps` decode steps. Every rank has the whole batch of prompts,
/// so a prompt moves from one rank to another by its place in the batch.
struct generate_command {
  uint64_t batch_id = 0;
  int64_t steps = 0;
  std::vector<uint64_t> give;  ///< prompts that leave this rank's share; it has not begun them
  std::vector<uint64_t> take;  ///< prompts that join it
  uint64_t rollbacks = 0;      ///< of the phase so far: with the job and the draw they tell which weights sample
  bool ends = false;           ///< all ranks have finished: memory that only generation needs is given back
};

template <class Inspector> auto inspect(Inspector& f, generate_command& x) {
  return f(caf::meta::type_name("generate_command"), x.batch_id, x.steps, x.give, x.take, x.rollbacks, x.ends);
}

struct generate_reply {
  int64_t unfinished = 0;  ///< sequences still waiting or in flight; 0 ends the rank's share
  int64_t answer_tokens = 0;
  double seconds = 0;
  std::vector<uint64_t> waiting;  ///< prompts that have not been begun
  int64_t taken_up = 0;           ///< sequences that an earlier attempt had finished; none in later replies
  int64_t taken_up_tokens = 0;    ///< of their answers
};

template <class Inspector> auto inspect(Inspector& f, generate_reply& x) {
  return f(caf::meta::type_name("generate_reply"), x.unfinished, x.answer_tokens, x.seconds, x.waiting, x.taken_up,
           x.taken_up_tokens);
}

struct score_reply {
  int64_t tokens = 0;
  double seconds = 0;
};

template <class Inspector> auto inspect(Inspector& f, score_reply& x) {
  return f(caf::meta::type_name("score_reply"), x.tokens, x.seconds);
}

/// Computes the gradients of a served batch, and of the mixture text that goes with it. A loss is a sum over all ranks,
/// divided by its loss_terms.
struct train_command {
  uint64_t batch_id = 0;
  int64_t loss_terms = 1;
  double kl_coefficient = 0;  ///< of a KL loss
  uint64_t mixture_batch_id = 0;
  int64_t mixture_loss_terms = 0;
  double mixture_coefficient = 0;  ///< multiplies the mixture's loss; 0: there is none
};

template <class Inspector> auto inspect(Inspector& f, train_command& x) {
  return f(caf::meta::type_name("train_command"), x.batch_id, x.loss_terms, x.kl_coefficient, x.mixture_batch_id,
           x.mixture_loss_terms, x.mixture_coefficient);
}

struct train_reply {
  actors::statistics statistics;
  int64_t tokens = 0;
  double seconds = 0;
};

template <class Inspector> auto inspect(Inspector& f, train_reply& x) {
  return f(caf::meta::type_name("train_reply"), x.statistics, x.tokens, x.seconds);
}

/// One optimizer step with the gradients accumulated since the last one.
struct step_command {
  uint64_t update = 0;
  double learning_rate = 0;
};

template <class Inspector> auto inspect(Inspector& f, step_command& x) {
  return f(caf::meta::type_name("step_command"), x.update, x.learning_rate);
}

struct step_reply {
  double gradient_norm = 0;  ///< before clipping
  double seconds = 0;
  // Of the model's gradients, and of its weights in ZeRO stage 3, since the last step:
  int64_t sent_bytes = 0;           ///< to other ranks
  double communication_s = 0;       ///< operations were under way
  double communication_wait_s = 0;  ///< of these, what was waited for
};

template <class Inspector> auto inspect(Inspector& f, step_reply& x) {
  return f(caf::meta::type_name("step_reply"), x.gradient_norm, x.seconds, x.sent_bytes, x.communication_s,
           x.communication_wait_s);
}

/// Makes an iteration's rollout into experience. State goes along with the command and comes back with the reply: the
/// director keeps all of it, so that a checkpoint finds it in one place.
struct assemble_command {
  uint64_t iteration = 0;
  uint64_t policy_version = 0;
  double kl_coefficient = 0;
  actors::statistics reward_scale;  ///< running moments, empty at the start
  uint64_t rollbacks = 0;           ///< of the phase
  bool training = true;             ///< false: statistics only (evaluation)
  std::string keep;                 ///< experience file to write, relative to the run; empty: none
};

template <class Inspector> auto inspect(Inspector& f, assemble_command& x) {
  return f(caf::meta::type_name("assemble_command"), x.iteration, x.policy_version, x.kl_coefficient, x.reward_scale,
           x.rollbacks, x.training, x.keep);
}

/// A few rollouts in full, for the log.
struct rollout_text {
  std::string prompt, answer;
  double reward = 0;
};

template <class Inspector> auto inspect(Inspector& f, rollout_text& x) {
  return f(caf::meta::type_name("rollout_text"), x.prompt, x.answer, x.reward);
}

struct assemble_reply {
  actors::statistics statistics;
  actors::statistics reward_scale;
  std::vector<rollout_text> rollouts;
  int64_t sequences = 0;
};

template <class Inspector> auto inspect(Inspector& f, assemble_reply& x) {
  return f(caf::meta::type_name("assemble_reply"), x.statistics, x.reward_scale, x.rollouts, x.sequences);
}

/// Has replay take up a stored rollout, in the place of one that is generated and scored (replay phase).
struct recall_command {
  uint64_t iteration = 0;
  uint64_t policy_version = 0;  ///< updates done so far; compared where `exact`
  std::string file;             ///< absolute
  std::string next;             ///< read ahead meanwhile; empty: none
  bool exact = false;           ///< what is made of it must be what the run made of it, to the last bit
  bool as_sampled = false;      ///< the policy is the one that sampled it
};

template <class Inspector> auto inspect(Inspector& f, recall_command& x) {
  return f(caf::meta::type_name("recall_command"), x.iteration, x.policy_version, x.file, x.next, x.exact,
           x.as_sampled);
}

struct recall_reply {
  int64_t rollbacks = -1;  ///< of the run before this iteration; negative: the file does not say
};

template <class Inspector> auto inspect(Inspector& f, recall_reply& x) {
  return f(caf::meta::type_name("recall_reply"), x.rollbacks);
}

/// Has replay take up some of the answers that earlier iterations have stored, to be learned from beside those of this
/// one.
struct mix_command {
  uint64_t iteration = 0;
  uint64_t policy_version = 0;     ///< updates done so far
  std::vector<std::string> files;  ///< of the iterations that are near enough, ascending; absolute
};

template <class Inspector> auto inspect(Inspector& f, mix_command& x) {
  return f(caf::meta::type_name("mix_command"), x.iteration, x.policy_version, x.files);
}

/// Asks replay for a minibatch of the assembled experience, served to policy and critic.
struct minibatch_command {
  uint64_t iteration = 0, epoch = 0, index = 0;
};

template <class Inspector> auto inspect(Inspector& f, minibatch_command& x) {
  return f(caf::meta::type_name("minibatch_command"), x.iteration, x.epoch, x.index);
}

/// How far a phase is, and the numbers that it goes on with. The director keeps them, and each checkpoint holds them
/// beside the weights.
struct phase_state {
  io::phase phase = io::phase::sft;
  uint64_t counter = 0;       ///< updates or iterations done
  actors::statistics values;  ///< controller state, running moments, best results
};

template <class Inspector> auto inspect(Inspector& f, phase_state& x) {
  return f(caf::meta::type_name("phase_state"), x.phase, x.counter, x.values);
}

struct snapshot_reply {
  double seconds = 0;  ///< for which training stood still
};

template <class Inspector> auto inspect(Inspector& f, snapshot_reply& x) {
  return f(caf::meta::type_name("snapshot_reply"), x.seconds);
}

/// A rank's file of a checkpoint, as the manifest has it (io::checkpoint_file).
struct written_file {
  std::string name;  ///< empty: none was under way
  int64_t bytes = 0;
  std::string digest;
  double seconds = 0;
};

template <class Inspector> auto inspect(Inspector& f, written_file& x) {
  return f(caf::meta::type_name("written_file"), x.name, x.bytes, x.digest, x.seconds);
}

/// The update or iteration that had the best evaluation of its phase.
struct best_so_far {
  int64_t counter = -1;  ///< negative: none was evaluated, or run.keep-best is off
  std::string metric;    ///< as in metrics.jsonl
  double value = 0;
};

template <class Inspector> auto inspect(Inspector& f, best_so_far& x) {
  return f(caf::meta::type_name("best_so_far"), x.counter, x.metric, x.value);
}

/// Makes a checkpoint of the ranks' files, which are durable. Without files it does nothing: its answer then only
/// says that what was asked before is done.
struct commit_command {
  uint64_t counter = 0;
  std::vector<written_file> files;  ///< by rank
  best_so_far best;
};

template <class Inspector> auto inspect(Inspector& f, commit_command& x) {
  return f(caf::meta::type_name("commit_command"), x.counter, x.files, x.best);
}

/// A checkpoint that has become durable.
struct durable_report {
  std::string path;
  uint64_t counter = 0;
  int64_t bytes = 0;
  double seconds = 0;  ///< of the slowest rank's file, and of the commit
};

template <class Inspector> auto inspect(Inspector& f, durable_report& x) {
  return f(caf::meta::type_name("durable_report"), x.path, x.counter, x.bytes, x.seconds);
}

/// A checkpoint that may be the one to go on from.
struct located_checkpoint {
  bool found = false;
  std::string path;  ///< its folder, relative to the run's; absolute: another run's
  uint64_t counter = 0;
  std::vector<written_file> files;  ///< as its manifest has them: every rank checks its share against these
  std::string problem;              ///< not empty: it is damaged, and how
};

template <class Inspector> auto inspect(Inspector& f, located_checkpoint& x) {
  return f(caf::meta::type_name("located_checkpoint"), x.found, x.path, x.counter, x.files, x.problem);
}

/// What is wrong in the share of a checkpoint's files that a rank has read.
struct damage_report {
  int64_t file = -1;    ///< index of the first damaged file; negative: there is none
  std::string problem;  ///< of that file
};

template <class Inspector> auto inspect(Inspector& f, damage_report& x) {
  return f(caf::meta::type_name("damage_report"), x.file, x.problem);
}

/// One line of metrics.jsonl.
struct metrics_record {
  io::phase phase = io::phase::sft;
  uint64_t update = 0, iteration = 0, attempt = 0;
  bool counts_iterations = false;
  bool durable = false;  ///< on disk, with all before it, when the answer comes: a checkpoint follows
  actors::statistics values;
  std::vector<rollout_text> rollouts;
  std::map<std::string, std::string> origin;  ///< what it was learned from, where not from the run's own rollout
};

template <class Inspector> auto inspect(Inspector& f, metrics_record& x) {
  return f(caf::meta::type_name("metrics_record"), x.phase, x.update, x.iteration, x.attempt, x.counts_iterations,
           x.durable, x.values, x.rollouts, x.origin);
}

/// Records of a phase that are to go: those beyond a counter.
struct stale_records {
  io::phase phase = io::phase::sft;
  int64_t beyond = -1;  ///< negative: all of the phase
};

template <class Inspector> auto inspect(Inspector& f, stale_records& x) {
  return f(caf::meta::type_name("stale_records"), x.phase, x.beyond);
}

/// How far a phase is, for the terminal.
struct progress_note {
  io::phase phase = io::phase::sft;
  std::string doing;  ///< what goes on within an update, for example "evaluate"; empty: one has ended
  uint64_t done = 0, total = 0;
  std::string unit;     ///< "updates", "iterations", "sequences"
  std::string summary;  ///< the two or three numbers to watch
};

template <class Inspector> auto inspect(Inspector& f, progress_note& x) {
  return f(caf::meta::type_name("progress_note"), x.phase, x.doing, x.done, x.total, x.unit, x.summary);
}

/// Something for the ledger. The counter of phase_started is the one that the phase will end with.
struct ledger_note {
  io::ledger_kind kind = io::ledger_kind::note;
  io::phase phase = io::phase::sft;
  uint64_t counter = 0;  ///< updates or iterations done
  std::string text;
};

template <class Inspector> auto inspect(Inspector& f, ledger_note& x) {
  return f(caf::meta::type_name("ledger_note"), x.kind, x.phase, x.counter, x.text);
}

/// How the director's plan of an attempt ended.
enum class outcome : uint8_t { finished, stopped, failed };

struct attempt_result {
  uint64_t attempt = 0;
  actors::outcome outcome = outcome::failed;
  errc code = errc::unsupported;  ///< of a failure
  std::string text;               ///< why it failed
};

template <class Inspector> auto inspect(Inspector& f, attempt_result& x) {
  return f(caf::meta::type_name("attempt_result"), x.attempt, x.outcome, x.code, x.text);
}

}  // namespace troupe::actors
