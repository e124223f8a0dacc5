/// The job file: every option of a run, typed. INI read by Boost.Program_options; each key is also
/// `--section.key value` on the command line. docs/job-file.md is generated from the same table
/// that parses.
///
/// Lists are repeated keys (lists of words may also stand in one line: `phases = sft reward ppo`).
/// A text that starts with a double quote ends with one and may hold \n \t \r \" \\ \xHH between
/// them. `;` and `#` at the start of a line or after a space begin a comment. Relative paths are
/// relative to the job file's folder, run.dir to the current folder; a loaded job holds absolute
/// paths only.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {

enum class phase { pairs, sft, reward, ppo, replay };
enum class initial_weights { stored, random };
enum class weight_type { f32, bf16 };
enum class data_format {
  text,
  prompt_answer,
  pairs,
  hh_dialogue,
  conversations,
  instruction,
  question_answer,
  experience,  ///< stored rollouts
  automatic    ///< by the columns of the file: load_job puts another in its place
};
enum class too_long { drop, truncate };
enum class schedule { linear, cosine, constant };
enum class sft_loss { answers, all };
enum class reward_loss { end, span };
enum class kl_controller { fixed, adaptive };
enum class kl_estimator { k1, k2, k3, k3_plus };
enum class kl_place { reward, loss };
enum class reward_scaling { none, running, batch };
enum class loss_mean { token, sequence };
enum class on_divergence { stop, rollback };
enum class device_choice { automatic, cpu, cuda };
enum class memory_place { card, host };
enum class card_exchange { automatic, nccl, host };
enum class reward_kind { model, lexicon, answer, command };
enum class valence_measure { sum, normalised, per_hundred_words };
enum class importance_rule { none, truncated, masked, sequence_mask, geometric_mask };
/// What stored experience may lack, where the job says so.
enum class replay_leniency { job, policy, iterations, groups };

/// The word that stands for the value in a job file: "prompt-answer".
std::string_view to_string(phase value);
std::string_view to_string(data_format value);
std::string_view to_string(reward_kind value);

struct run_section {
  std::string dir;  ///< default: runs/<stem of the job file> below the current folder
  uint64_t seed = 1;
  std::vector<phase> phases = {phase::sft, phase::reward, phase::ppo};
  int64_t threads = 0;            ///< 0: all cores
  int64_t checkpoint_every = 10;  ///< updates (sft, reward) or iterations (pairs, ppo)
  int64_t keep_checkpoints = 3;
  bool keep_best = true;        ///< and the one with the best evaluation
  bool checkpoint_copy = true;  ///< training goes on while a copy is written
  bool exact = true;            ///< stop if a rollout log-prob differs from the training forward's
  int64_t lanes = 1;            ///< a power of two
  bool activation_checkpointing = false;
  int64_t log_every = 1;  ///< updates or iterations between two lines of progress in a log
  bool operator==(const run_section&) const = default;
};

struct model_section {
  std::string policy;     ///< folder; required
  std::string reference;  ///< empty: the policy as PPO starts from it
  std::string reward;     ///< trunk that the reward phase starts from, or, without that phase, the
                          ///< trained reward model; empty: the reward phase starts from `policy`
  std::string critic;     ///< empty: starts as the reward model; without one, as the policy with a new head
  initial_weights initial = initial_weights::stored;
  weight_type type = weight_type::f32;  ///< key dtype: of the weights that passes read
  bool operator==(const model_section&) const = default;
};

/// What holds for all data sets: [data].
struct data_sets_section {
  double max_unusable = 0.01;  ///< the largest share of a set's records that may be left out as unusable
  bool operator==(const data_sets_section&) const = default;
};

struct data_section {
  std::string name;  ///< NAME of [data.NAME]
  std::string path;  ///< .jsonl or .jsonl.gz; required
  data_format format = data_format::automatic;
  double weight = 1.0;
  std::vector<phase> phases;  ///< empty: every phase of the run that the format can serve
  /// Names of the record's fields; empty: the format's own (datasets/record.hpp).
  std::string text, prompt, input, answer, chosen, rejected, conversations;
  std::string reference;           ///< field with the right answer, for rewards of kind answer; empty: the answer
  std::string prompt_template;     ///< with {prompt}; empty: the format's own
  std::string answer_template;     ///< with {answer}; empty: the format's own
  std::string chat_template;       ///< how turns are written: the name of a format, "model", or a file; empty: "model"
  std::string template_date;       ///< YYYY-MM-DD, for templates that write the date
  std::string template_variables;  ///< a JSON object: further variables of the template
  int64_t prompt_words = 0;        ///< text: the first words of each text are its prompt
  bool end_token = true;           ///< append the end token to answers
  int64_t limit = 0;               ///< read at most so many records; 0: all
  // experience: what is learned from it (experience/groups.hpp).
  bool unique = true;                                            ///< equal answers of a group count once
  int64_t best = 0;                                              ///< sft: of each group; 0: all
  double min_reward = -std::numeric_limits<double>::infinity();  ///< sft
  double advantage_temperature = 0;                              ///< sft; 0: all weigh the same
  int64_t pairs_per_prompt = 1;                                  ///< reward; 0: all
  double pair_margin = 0;                                        ///< reward
  bool operator==(const data_section&) const = default;
};

/// The phases that the set serves: as the job says, else all that the format can. conversations
/// serve the reward phase, and pairs are made from a set, only where the job's phases say so.
std::vector<phase> served_phases(const data_section& set);

/// Can records of this format carry what the phase needs?
bool can_serve(data_format format, bool with_prompt_words, phase wanted);

/// Relative shares of the prompts (by hash of their content); shares of phases that a data set does
/// not serve, or that the run does not have, go to the others. DeepSpeed-Chat: 2, 4, 4.
struct split_section {
  double sft = 2, reward = 4, ppo = 4, held_out = 0.5;
  std::vector<phase> phases;  ///< that the run has or is to have; empty: those of run.phases (divided_phases)
  bool operator==(const split_section&) const = default;
};

struct length_section {
  int64_t max_prompt_tokens = 256;
  int64_t max_tokens = 512;  ///< prompt and answer, end token included
  io::too_long too_long = io::too_long::drop;
  bool operator==(const length_section&) const = default;
};

struct optimizer_options {
  double learning_rate = 9.65e-6;
  io::schedule schedule = io::schedule::cosine;
  int64_t warm_up = 0;        ///< updates
  double min_ratio = 0.0;     ///< lowest learning rate as a share of the highest
  double weight_decay = 0.0;  ///< not on biases and norms
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double clip_norm = 1.0;  ///< 0: off
  bool operator==(const optimizer_options&) const = default;
};

/// What supervised phases share.
struct training_options {
  double epochs = 1;    ///< ignored when updates > 0
  int64_t updates = 0;  ///< 0: as the epochs say
  int64_t batch = 16;   ///< sequences (sft) or pairs (reward) per update
  int64_t micro_batch_tokens = 2048;
  int64_t evaluate_every = 0;  ///< updates; 0: before and after the phase only
  optimizer_options optimizer;
  bool operator==(const training_options&) const = default;
};

/// Preference pairs from the policy's own samples, labelled by a rule.
struct pairs_section {
  std::string reward;     ///< NAME of the [rewards.NAME] that labels; required with the phase; not a model
  int64_t prompts = 512;  ///< in all
  int64_t prompts_per_iteration = 64;
  int64_t samples_per_prompt = 4;
  double margin = 0.0;  ///< a pair is the best and the worst sample if their rewards differ by more
  double temperature = 1.0;
  int64_t max_new_tokens = 0;                               ///< 0: generation.max-new-tokens
  std::vector<phase> phases = {phase::sft, phase::reward};  ///< who trains on them
  double weight = 1.0;                                      ///< beside other data sets
  bool operator==(const pairs_section&) const = default;
};

struct sft_section {
  training_options training;
  sft_loss loss = sft_loss::answers;
  bool operator==(const sft_section&) const = default;
};

struct reward_section {
  training_options training = {.batch = 64, .optimizer = {.learning_rate = 5e-5, .weight_decay = 0.1}};
  reward_loss loss = reward_loss::end;
  double centring = 0.0;  ///< times (chosen + rejected score)^2
  bool operator==(const reward_section&) const = default;
};

struct ppo_section {
  int64_t iterations = 100;
  int64_t prompts = 64;  ///< per iteration: the generation batch is prompts * samples_per_prompt
  int64_t samples_per_prompt = 1;
  int64_t epochs = 1;
  int64_t minibatches = 1;  ///< updates per epoch: training batch = generation batch / minibatches
  int64_t micro_batch_tokens = 2048;
  optimizer_options policy = {.learning_rate = 9.65e-6};
  optimizer_options critic = {.learning_rate = 5e-6};
  double clip = 0.2;
  double value_clip = 0.2;  ///< 0: off
  double gamma = 1.0, lambda = 0.95;
  double kl_coef = 0.1;  ///< the first value of an adaptive controller
  io::kl_controller kl_controller = io::kl_controller::fixed;
  double kl_target = 6.0;     ///< nats per sequence
  double kl_horizon = 10000;  ///< sequences
  io::kl_estimator kl_estimator = io::kl_estimator::k1;
  kl_place kl_in = kl_place::reward;
  double reward_clip = 5.0;  ///< 0: off
  io::reward_scaling reward_scaling = io::reward_scaling::none;
  bool reward_centre = false;  ///< scaling subtracts the mean too
  bool whiten_advantages = true;
  loss_mean loss = loss_mean::token;
  double entropy_coef = 0.0;
  double target_kl = 0.0;              ///< nats per token; ends an iteration's updates; 0: off
  double missing_end_penalty = 0.0;    ///< taken from the reward of an answer that has no end
  double ema_decay = 0.992;            ///< per update; 0: no average is kept
  double ptx_coef = 0.0;               ///< policy gradient + coef * gradient of the sft loss's mean per token; 0: off
  int64_t ptx_batch = 0;               ///< sequences per update; 0: as many as the training batch
  int64_t min_answer_tokens = 1;       ///< shorter answers (end token counted) take no part in updates; counted
  int64_t critic_only_iterations = 0;  ///< the first ones, which train the critic alone
  int64_t evaluate_every = 0;          ///< iterations; 0: before and after the phase only
  int64_t log_rollouts = 2;            ///< rollouts shown in full ...
  int64_t log_rollouts_every = 10;     ///< ... in every so many iterations
  io::on_divergence on_divergence = io::on_divergence::stop;
  double max_kl = 0.0;  ///< nats per sequence that count as divergence; 0: only NaN does
  int64_t max_rollbacks = 3;
  bool operator==(const ppo_section&) const = default;
};

/// One source of reward: [rewards.NAME].
struct reward_source {
  std::string name;
  reward_kind kind = reward_kind::model;
  double weight = 1.0;       ///< 0: reported, not learned from
  std::string model = {};    ///< kind model: folder; empty: the run's own reward model
  std::string lexicon = {};  ///< kind lexicon: file
  valence_measure measure = valence_measure::per_hundred_words;
  bool last_number = false;      ///< kind answer: without "#### N" the last number of the text counts
  std::string command = {};      ///< kind command: the program's words (io/job/command_words.hpp)
  std::string folder = {};       ///< kind command: where it runs; empty in a file: where the job file is
  int64_t batch = 64;            ///< kind command: answers of a request, at most
  double deadline_s = 60;        ///< kind command: for the reply to a request
  double max_unscorable = 0.05;  ///< share of an iteration's answers that may be left without this reward
  bool operator==(const reward_source&) const = default;
};

/// Sampling of rollouts, evaluations and (but for temperature and length) pairs.
struct generation_section {
  int64_t max_new_tokens = 256;
  double temperature = 1.0;  ///< 0: greedy
  int64_t top_k = 0;
  double top_p = 1.0, min_p = 0.0, repetition_penalty = 1.0;
  std::vector<std::string> stop;
  int64_t cache_mib = 512;    ///< keys and values of the sequences in flight
  int64_t step_tokens = 256;  ///< rows of one model call, at most; neither changes an answer
  bool operator==(const generation_section&) const = default;
};

/// Phase replay: the updates of a run's ppo phase, made again from its experience (io/run/replayed_run.hpp).
struct replay_section {
  std::string of;                                        ///< the run's folder; required with the phase
  int64_t from_iteration = 0;                            ///< the checkpoint after so many iterations; 0: the start
  int64_t to_iteration = 0;                              ///< required with the phase
  bool verify = false;                                   ///< every number is to be the run's: what differs is an error
  importance_rule weights = importance_rule::truncated;  ///< of the stored answers under the policy as it is by then
  double low = 0, high = 0;            ///< bounds of the rule; both 0: its own (engine/objectives/importance.hpp)
  double min_ess = 0;                  ///< effective sample size, as a share, below which the replay stops; 0: none
  double max_kl = 0;                   ///< nats per token from the policy that sampled, that stop it; 0: none
  std::vector<replay_leniency> allow;  ///< what is refused otherwise
  bool operator==(const replay_section&) const = default;

  bool allows(replay_leniency what) const;
};

struct evaluation_section {
  int64_t prompts = 128;  ///< held-out prompts sampled; 0: none
  int64_t samples_per_prompt = 1;
  int64_t records = 512;  ///< held-out records for perplexity and accuracy
  bool operator==(const evaluation_section&) const = default;
};

struct experience_section {
  int64_t keep = 0;           ///< the last so many iterations' files; 0: all
  int64_t keep_every = 0;     ///< of older ones, every so many iterations' ...
  int64_t keep_best = 0;      ///< ... and the so many of highest mean reward; 0: none
  double mix = 0;             ///< share of what an iteration learns from that older answers are; 0: none
  int64_t max_staleness = 0;  ///< policy versions that they may be behind
  bool text = true;
  double save_rollout_s = 5;
  bool operator==(const experience_section&) const = default;
};

struct recovery_section {
  double start_deadline_s = 120, worker_deadline_s = 300, stop_deadline_s = 60;
  double silence_deadline_s = 10;
  double pause_s = 10;       ///< before an attempt that follows a lack of files, memory or threads
  int64_t restarts = 5;      ///< attempts in a row without a new checkpoint before the run gives up
  std::string control_host;  ///< by which ranks reach the batch host, %h its own name; empty: that name
  int64_t control_port = 0;  ///< 0: any
  bool operator==(const recovery_section&) const = default;
};

/// Some of a job's ranks, in ascending order; written "0-3 6". Empty: all of them.
struct rank_list {
  std::vector<int64_t> ranks;
  bool operator==(const rank_list&) const = default;
};

/// As a rank_list is written; `ranks` ascend.
std::string rank_text(std::span<const int64_t> ranks);

struct place_section {
  int64_t ranks = 1;
  device_choice device = device_choice::automatic;
  memory_place optimizer = memory_place::card;        ///< with device = cuda; and
  memory_place frozen = memory_place::card;           ///< of models that only score
  card_exchange exchange = card_exchange::automatic;  ///< between cards
  int64_t min_nodes = 0;  ///< with fewer left, the job goes back into the queue; 0: any that is left is enough
  bool shrink = false;    ///< fewer nodes: fewer ranks, rather than the same number packed
  std::string wrapper;    ///< words before each command that srun starts on a node: how it gets into a container
  int64_t policy_zero = 0, critic_zero = 0, reward_zero = 0;
  int64_t frozen_zero = 0;                                              ///< of models that only score: 0 or 3
  int64_t tensor_parallel = 1;                                          ///< ranks that generate together
  rank_list policy_ranks, critic_ranks, reference_ranks, reward_ranks;  ///< of each model, in the ppo phase
  bool operator==(const place_section&) const = default;
};

struct job {
  run_section run;
  model_section model;
  data_sets_section data_sets;
  std::vector<data_section> data;
  split_section split;
  length_section length;
  pairs_section pairs;
  sft_section sft;
  reward_section reward;
  ppo_section ppo;
  std::vector<reward_source> rewards;  ///< never empty with a ppo phase
  generation_section generation;
  replay_section replay;
  evaluation_section evaluation;
  experience_section experience;
  recovery_section recovery;
  place_section place;
  bool operator==(const job&) const = default;

  bool has(phase wanted) const;  ///< is it in run.phases?
  bool learns_by_ppo() const { return has(phase::ppo) || has(phase::replay); }
  /// How many iterations before one may lend it answers (experience.mix); an iteration makes epochs times minibatches
  /// policy versions at most. 0: none.
  int64_t mixing_window() const;
  const reward_source* reward_named(std::string_view name) const;  ///< null: there is none
};

/// The phases that the prompts of a job are divided among: those of split.phases and of run.phases, and those that
/// train on the prompts of others (on pairs, on a mixture). In order.
std::vector<phase> divided_phases(const job& job);

struct split_shares {
  double sft = 0, reward = 0, ppo = 0, held_out = 0;
  bool operator==(const split_shares&) const = default;
  bool any() const { return sft + reward + ppo + held_out > 0; }
};

/// The job's shares of a set's prompts, with those of phases that it does not serve, or that prompts are not divided
/// among, set to 0; all of them where no phase is left: then the set has no prompts. A set that serves `pairs` also
/// serves the phases that train on the pairs.
split_shares shares_for(const job& job, const data_section& set);

/// Where a job text comes from: what messages call it and where its relative paths start.
struct job_origin {
  std::string name = "job file";
  std::string stem = "job";   ///< for the default run.dir
  std::string folder = ".";   ///< relative paths start here
  std::string current = ".";  ///< run.dir starts here

  /// Called for each data set of format auto, before anything is checked: io::recognise_format
  /// (datasets/recognise.hpp). Empty: such a set stays as it is.
  std::function<void(data_section&)> recognise = {};
};

/// Parses and validates a job; looks at no file. `overrides` are command-line words: "--ppo.clip",
/// "0.1" or "--ppo.clip=0.1"; a list given there replaces the file's.
/// Errors  bad_argument, with every problem on a line of its own: key, value, remedy.
job parse_job(std::string_view text, const job_origin& origin, std::span<const std::string> overrides = {});

/// parse_job of a file; also requires that the models, data and lexicons it names exist.
/// Errors  not_found (the job file itself), bad_argument as above.
job load_job(const std::string& path, std::span<const std::string> overrides = {},
             const std::function<void(data_section&)>& recognise = {});

/// The models, data and lexicons that the job names and that are not there, one line each.
std::vector<std::string> missing_files(const job& job);

/// Every option, resolved: parse_job of it gives an equal job.
std::string job_text(const job& job);

/// Over the options that influence the numbers of a phase: not those of other phases, folders, threads, checkpoints,
/// recovery, logging. Of a path the last component counts; what the file holds has a digest of its own in the manifest.
/// How long the phase is counts only where its learning rates depend on it (falls_with_length).
uint64_t job_digest(const job& job, phase of);

/// Options whose change would change the numbers of one of these phases, as "ppo.kl-coef: 0.1 before, 0.05 now".
/// Empty: equal digests.
std::vector<std::string> differences(const job& before, const job& now, std::span<const phase> of);

/// Whether the learning rates of the phase fall towards its end, so that it cannot become longer or shorter without
/// having been another from its first update on.
bool falls_with_length(const job& job, phase of);

/// As differences, of the options that say what the phase starts from and learns from: a checkpoint of it cannot go on
/// with others.
std::vector<std::string> input_differences(const job& before, const job& now, phase of);

/// As differences, of the options that only say how long the phase is.
std::vector<std::string> length_differences(const job& before, const job& now, phase of);

/// Text for `troupe run --help`, and docs/job-file.md.
std::string job_help();
std::string job_reference();

}  // namespace troupe::io
