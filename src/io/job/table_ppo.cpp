#include "io/job/rows.hpp"

namespace troupe::io {

using ppo_rows = rows<ppo_section>;

static void add_batches(ppo_rows& p) {
  p.add("iterations", &ppo_section::iterations, "Rollouts, each with its updates.", between(1, 1e9)).lengthens = true;
  p.add("prompts", &ppo_section::prompts, "Prompts of an iteration.", between(1, most_prompts));
  p.add("samples-per-prompt", &ppo_section::samples_per_prompt,
        "Answers to each prompt. The generation batch is prompts times this.", between(1, most_samples));
  p.add("epochs", &ppo_section::epochs, "Passes over an iteration's experience.", between(1, 1000));
  p.add("minibatches", &ppo_section::minibatches,
        "Updates of a pass: the training batch is the generation batch divided by this.", between(1, 1e6));
  p.add("micro-batch-tokens", &ppo_section::micro_batch_tokens,
        "Tokens computed at once, at most; a longer sequence makes a micro-batch of its own. With several lanes or "
        "ranks micro-batches are made smaller, so that all get about the same number of tokens.",
        between(1, 1e9));
}

static void add_rewards_and_advantages(ppo_rows& p) {
  p.add("gamma", &ppo_section::gamma, "Discount.", between(0, 1));
  p.add("lambda", &ppo_section::lambda, "Of generalised advantage estimation.", between(0, 1));
  p.add("reward-clip", &ppo_section::reward_clip, "Scores are clipped to plus and minus this; 0: off.", at_least(0));
  p.add("reward-scaling", &ppo_section::reward_scaling,
        "Divide scores by their standard deviation: of all so far (running) or of the iteration (batch).");
  p.add("reward-centre", &ppo_section::reward_centre, "The scaling subtracts the mean too.");
  p.add("missing-end-penalty", &ppo_section::missing_end_penalty,
        "Taken from the score of an answer that was cut for its length.", at_least(0));
  p.add("whiten-advantages", &ppo_section::whiten_advantages,
        "Advantages of an iteration get mean 0 and standard deviation 1.");
  p.add("min-answer-tokens", &ppo_section::min_answer_tokens,
        "Shorter answers take no part in updates; they are counted.", between(1, 1e9));
}

static void add_kl(ppo_rows& p) {
  p.add("kl-coef", &ppo_section::kl_coef, "Coefficient of the KL to the reference; adaptive: at the start.",
        between(0, 1e6));
  p.add("kl-controller", &ppo_section::kl_controller, "adaptive: the coefficient follows kl-target (Ziegler et al.).");
  p.add("kl-target", &ppo_section::kl_target, "Nats per sequence that the adaptive controller aims at.", more_than(0));
  p.add("kl-horizon", &ppo_section::kl_horizon, "Sequences over which the adaptive controller acts.", more_than(0));
  p.add("kl-estimator", &ppo_section::kl_estimator,
        "Estimator of the KL from a sampled token; k3+: the value of k3, the gradient of k2.");
  p.add("kl-in", &ppo_section::kl_in,
        "Where the KL is charged: in each token's reward, or in the loss (with kl-estimator k2, k3 or k3+).");
}

static void add_losses(ppo_rows& p) {
  p.add("clip", &ppo_section::clip, "The ratio's clip range is 1 plus and minus this.",
        {.low = 0, .high = 1, .open_low = true});
  p.add("value-clip", &ppo_section::value_clip, "Clip range of the value around the old one; 0: off.", at_least(0));
  p.add("loss", &ppo_section::loss,
        "token: mean over the tokens of a minibatch; sequence: over its sequences of their means.");
  p.add("entropy-coef", &ppo_section::entropy_coef, "Entropy bonus.", between(0, 1000));
  p.add("target-kl", &ppo_section::target_kl,
        "Approximate KL of the updates, in nats per token, beyond which an iteration's updates end; 0: off.",
        at_least(0));
  p.add("ptx-coef", &ppo_section::ptx_coef,
        "Mixture training: the policy's gradient gets so much times the gradient of the sft loss (a mean per token) on "
        "a batch of sft data. 0: off.",
        between(0, 1e6));
  p.add("ptx-batch", &ppo_section::ptx_batch, "Sequences of sft data per update; 0: as many as the training batch.",
        between(0, 1e9));
  p.add("ema-decay", &ppo_section::ema_decay, "Of the average of the policy's weights, per update; 0: none is kept.",
        {.low = 0, .high = 1, .open_high = true});
  p.add("critic-only-iterations", &ppo_section::critic_only_iterations,
        "First iterations, which train the critic alone.", at_least(0));
}

static void add_watching(ppo_rows& p) {
  p.add_silent("evaluate-every", &ppo_section::evaluate_every,
               "Iterations between two evaluations on held-out prompts; 0: before and after only.", at_least(0));
  p.add_silent("log-rollouts", &ppo_section::log_rollouts, "Rollouts shown in full; 0: none.", between(0, 1e6));
  p.add_silent("log-rollouts-every", &ppo_section::log_rollouts_every, "Iterations between two such looks.",
               at_least(1));
  p.add("on-divergence", &ppo_section::on_divergence,
        "What NaN or a KL over max-kl does: stop the phase, or roll back to the last checkpoint with half the learning "
        "rates; to the one before, if it is the checkpoint's own weights that diverge. The iteration's experience is "
        "kept either way.");
  p.add("max-kl", &ppo_section::max_kl,
        "KL to the reference, in nats per sequence, that counts as divergence; 0: only NaN does.", at_least(0));
  p.add("max-rollbacks", &ppo_section::max_rollbacks, "Rollbacks before the phase stops.", between(1, 1000));
}

void add_ppo_rows(std::vector<option>& table) {
  ppo_rows p(table, "ppo", [](job& j, const std::string&) -> ppo_section& { return j.ppo; });
  add_batches(p);
  add_optimizer_rows(
      table, "ppo", [](job& j, const std::string&) -> optimizer_options& { return j.ppo.policy; }, "policy-");
  add_optimizer_rows(
      table, "ppo", [](job& j, const std::string&) -> optimizer_options& { return j.ppo.critic; }, "critic-");
  add_rewards_and_advantages(p);
  add_kl(p);
  add_losses(p);
  add_watching(p);
}

static reward_source& reward_entry(job& j, const std::string& name) {
  for (reward_source& entry : j.rewards) {
    if (entry.name == name) {
      return entry;
    }
  }
  reward_source& entry = j.rewards.emplace_back();
  entry.name = name;
  return entry;
}

void add_reward_source_rows(std::vector<option>& table) {
  rows<reward_source> r(table, "rewards.*", reward_entry);
  r.add("kind", &reward_source::kind,
        "model: a reward model; lexicon: the valence of the answer's words; answer: 1 if the answer's final number is "
        "the data set's, else 0; command: what a program of yours says (docs/rewards.md).");
  r.add("weight", &reward_source::weight, "Factor in the sum of all sources; 0: only reported.").of =
      only<phase::ppo>;  // pairs are labelled by one alone
  r.add_path("model", &reward_source::model, "model: its folder. Empty: the run's reward model.");
  r.add_path("lexicon", &reward_source::lexicon, "lexicon: word list in VADER's format. Required there.");
  r.add("measure", &reward_source::measure,
        "lexicon: sum of valences s, s / sqrt(s^2 + 15) (normalised), or 100 s / words.");
  r.add("last-number", &reward_source::last_number, "answer: a text without \"#### N\" answers with its last number.");
  r.add("command", &reward_source::command,
        "command: the program and its arguments, apart by blanks; one with blanks in it stands in single quotes. No "
        "shell reads it. Required there.")
      .text = text_kind::line;
  option& folder = r.add_path("folder", &reward_source::folder,
                              "command: the folder in which the program runs. Empty: the job file's.");
  folder.numbers = false;
  r.add("batch", &reward_source::batch, "command: answers of a request, at most.", between(1, 1e6));
  r.add_silent("deadline-s", &reward_source::deadline_s, "command: seconds in which a request must be answered.",
               {.low = 0, .high = 1e6, .open_low = true});
  r.add_silent(
      "max-unscorable", &reward_source::max_unscorable,
      "Largest share of an iteration's answers that may be left without this reward (command: the program says null, "
      "or fails; answer: the data set's answer has no number). They are not learned from. More of them end the run.",
      {.low = 0, .high = 1, .open_high = true});
}

}  // namespace troupe::io
