#include "io/job/rows.hpp"

namespace troupe::io {

void add_optimizer_rows(std::vector<option>& table, const std::string& section,
                        const rows<optimizer_options>::finder& find, const std::string& prefix) {
  rows<optimizer_options> o(table, section, find, prefix);
  o.add("learning-rate", &optimizer_options::learning_rate, "Highest learning rate.",
        {.low = 0, .high = 10, .open_low = true});
  o.add("schedule", &optimizer_options::schedule, "How the learning rate falls after the warm-up.");
  o.add("warm-up", &optimizer_options::warm_up, "Updates over which the learning rate rises from 0.", at_least(0));
  o.add("min-ratio", &optimizer_options::min_ratio,
        "Lowest learning rate of linear and cosine, as a share of the highest.", between(0, 1));
  o.add("weight-decay", &optimizer_options::weight_decay, "Decoupled weight decay; none on biases and norms.",
        between(0, 100));
  o.add("beta1", &optimizer_options::beta1, "AdamW's decay of the first moment.",
        {.low = 0, .high = 1, .open_high = true});
  o.add("beta2", &optimizer_options::beta2, "AdamW's decay of the second moment.",
        {.low = 0, .high = 1, .open_high = true});
  o.add("epsilon", &optimizer_options::epsilon, "AdamW's epsilon.", {.low = 0, .high = 1, .open_low = true});
  o.add("clip-norm", &optimizer_options::clip_norm,
        "Largest global norm of the gradient; a larger one is scaled down. 0: off.", at_least(0));
}

static void add_training_rows(std::vector<option>& table, const std::string& section,
                              const rows<training_options>::finder& find) {
  rows<training_options> t(table, section, find);
  t.add("epochs", &training_options::epochs, "Passes over the data; ignored when updates is not 0.",
        {.low = 0, .high = 1e6, .open_low = true})
      .lengthens = true;
  t.add("updates", &training_options::updates, "Optimizer steps; 0: as epochs says.", at_least(0)).lengthens = true;
  t.add("batch", &training_options::batch, "Sequences (sft) or pairs (reward) of an update.", between(1, 1e9));
  t.add("micro-batch-tokens", &training_options::micro_batch_tokens,
        "Tokens computed at once, at most; a longer sequence makes a micro-batch of its own. With several lanes or "
        "ranks micro-batches are made smaller, so that all get about the same number of tokens.",
        between(1, 1e9));
  t.add_silent("evaluate-every", &training_options::evaluate_every,
               "Updates between two evaluations on held-out records; 0: before and after only.", at_least(0));
  add_optimizer_rows(
      table, section, [find](job& j, const std::string& name) -> optimizer_options& { return find(j, name).optimizer; },
      "");
}

void add_supervised_rows(std::vector<option>& table) {
  rows<pairs_section> pairs(table, "pairs", [](job& j, const std::string&) -> pairs_section& { return j.pairs; });
  pairs.add("reward", &pairs_section::reward,
            "NAME of the [rewards.NAME] (a rule) that labels the samples. Required with phase pairs.");
  pairs.add("prompts", &pairs_section::prompts, "Prompts sampled from, in all.", between(1, 1e9));
  pairs.add("prompts-per-iteration", &pairs_section::prompts_per_iteration, "Prompts sampled at once.",
            between(1, most_prompts));
  pairs.add("samples-per-prompt", &pairs_section::samples_per_prompt,
            "Samples of each prompt; the best and the worst make the pair.", between(2, most_samples));
  pairs.add("margin", &pairs_section::margin, "Least difference of their rewards; others make no pair.", at_least(0));
  pairs.add("temperature", &pairs_section::temperature, "Temperature of the samples.",
            {.low = 0, .high = 100, .open_low = true});
  pairs.add("max-new-tokens", &pairs_section::max_new_tokens, "Longest sample; 0: generation.max-new-tokens.",
            between(0, 1e9));
  pairs.add("phases", &pairs_section::phases, "Who trains on the pairs: sft (on the better one), reward.").of =
      of_pairs_and_their_phases;
  pairs.add("weight", &pairs_section::weight, "As of a data set.", {.low = 0, .high = 1000, .open_low = true}).of =
      of_pairs_and_their_phases;

  rows<sft_section> sft(table, "sft", [](job& j, const std::string&) -> sft_section& { return j.sft; });
  add_training_rows(table, "sft", [](job& j, const std::string&) -> training_options& { return j.sft.training; });
  sft.add("loss", &sft_section::loss,
          "answers: prompts carry no loss, and of a conversation only the last assistant's turn does.")
      .of = of_sft_and_mixture;

  rows<reward_section> reward(table, "reward", [](job& j, const std::string&) -> reward_section& { return j.reward; });
  add_training_rows(table, "reward", [](job& j, const std::string&) -> training_options& { return j.reward.training; });
  reward.add("loss", &reward_section::loss,
             "end: Bradley-Terry at the last tokens; span: DeepSpeed-Chat's mean over all tokens from where the "
             "answers part.");
  reward.add("centring", &reward_section::centring,
             "Adds so much times (chosen + rejected score)^2 to the loss: keeps scores near 0.", between(0, 1000));
}

}  // namespace troupe::io
