#include "base/assert.hpp"
#include "io/job/rows.hpp"

#include <algorithm>
#include <array>

namespace troupe::io {

static void add_generation(std::vector<option>& table) {
  rows<generation_section> g(table, "generation",
                             [](job& j, const std::string&) -> generation_section& { return j.generation; });
  g.add("max-new-tokens", &generation_section::max_new_tokens, "Longest answer.", between(1, 1e9));
  g.add("temperature", &generation_section::temperature, "Divides the logits; 0: greedy.", between(0, 100)).of =
      only<phase::ppo>;
  g.add("top-k", &generation_section::top_k, "Draw from the k likeliest tokens; 0: off.", between(0, 1e9));
  g.add("top-p", &generation_section::top_p, "Draw from the fewest tokens that hold this probability; 1: off.",
        {.low = 0, .high = 1, .open_low = true});
  g.add("min-p", &generation_section::min_p,
        "Draw from tokens with at least this share of the likeliest one's probability; 0: off.",
        {.low = 0, .high = 1, .open_high = true});
  g.add("repetition-penalty", &generation_section::repetition_penalty,
        "Above 1, tokens seen before become less likely; 1: off.", {.low = 0, .high = 100, .open_low = true});
  g.add("stop", &generation_section::stop, "A text that ends an answer; may be repeated.");
  g.add_silent("cache-mib", &generation_section::cache_mib, "Memory for keys and values of the sequences in flight.",
               between(1, 1e9));
  g.add_silent("step-tokens", &generation_section::step_tokens, "Most tokens computed at once.", between(1, 1e6));
}

void add_other_rows(std::vector<option>& table) {
  add_generation(table);
  rows<evaluation_section> e(table, "evaluation",
                             [](job& j, const std::string&) -> evaluation_section& { return j.evaluation; });
  e.add_silent("prompts", &evaluation_section::prompts, "Held-out prompts that ppo's evaluations answer.",
               between(0, most_prompts));
  e.add_silent("samples-per-prompt", &evaluation_section::samples_per_prompt, "Answers to each.",
               between(1, most_samples));
  e.add_silent("records", &evaluation_section::records,
               "Held-out records for sft's perplexity and the reward model's accuracy.", between(0, 1e9));

  rows<experience_section> x(table, "experience",
                             [](job& j, const std::string&) -> experience_section& { return j.experience; });
  x.add_silent("keep", &experience_section::keep, "The last so many iterations' experience is kept; 0: all.",
               at_least(0));
  x.add_silent("keep-every", &experience_section::keep_every,
               "With keep: of older iterations, every so many are kept too; 0: none.", at_least(0));
  x.add_silent("keep-best", &experience_section::keep_best,
               "With keep: of older iterations, the so many of highest mean reward (weighted sum of the sources) are "
               "kept too; 0: none.",
               at_least(0));
  x.add("mix", &experience_section::mix,
        "Phase ppo: share of the answers an iteration learns from that are not its own but stored ones of earlier "
        "iterations, weighed by importance (docs/experience.md); 0: none.",
        {.low = 0, .high = 1, .open_high = true})
      .of = of_ppo_that_mixes;
  x.add("max-staleness", &experience_section::max_staleness,
        "With mix: policy versions (updates) that such answers may be behind. Those of the last max-staleness / "
        "(ppo.epochs ppo.minibatches) iterations, rounded down, are drawn from.",
        at_least(0))
      .of = of_ppo_that_mixes;
  x.add_silent("text", &experience_section::text, "Store prompts and answers as text too.");
  x.add_silent(
      "save-rollout-s", &experience_section::save_rollout_s,
      "While a rollout goes on, sequences that have finished are made durable after so many seconds, so that an "
      "attempt that ends loses no more; 0: never.",
      at_least(0));

  rows<recovery_section> r(table, "recovery",
                           [](job& j, const std::string&) -> recovery_section& { return j.recovery; });
  r.add_silent("start-deadline-s", &recovery_section::start_deadline_s, "Seconds in which a worker must report.",
               more_than(0));
  r.add_silent("worker-deadline-s", &recovery_section::worker_deadline_s,
               "Seconds without progress after which a worker counts as hung. A card is waited for half as long, and "
               "then counts as failed.",
               more_than(0));
  r.add_silent("silence-deadline-s", &recovery_section::silence_deadline_s,
               "Seconds without a sign of life after which a worker, or its node, counts as lost.", more_than(0));
  r.add_silent("stop-deadline-s", &recovery_section::stop_deadline_s,
               "Seconds that ranks have to leave when their work is done or stopped; then they are killed.",
               more_than(0));
  r.add_silent("pause-s", &recovery_section::pause_s,
               "Seconds of pause after a rank could not have a file, memory or a thread, before it is tried again.",
               between(0, 3600));
  r.add_silent("restarts", &recovery_section::restarts,
               "Attempts in a row without a new checkpoint before the run gives up.", between(0, 1e6));
  r.add_line(
      "control-host", &recovery_section::control_host,
      "Name or address by which ranks on other nodes reach the supervisor, which then listens there alone; %h is "
      "the batch host's own name: %h-ib0. Empty: that name, and every network.");
  r.add_silent("control-port", &recovery_section::control_port,
               "TCP port that the supervisor listens on; 0: one that the system chooses.", between(0, 65535));

  rows<place_section> p(table, "place", [](job& j, const std::string&) -> place_section& { return j.place; });
  p.add_silent("ranks", &place_section::ranks, "Worker processes.", between(1, 1e5));
  p.add_silent(
      "device", &place_section::device,
      "What passes compute on: cpu, or cuda: NVIDIA cards, one for each rank of a host (docs/cuda.md). auto is "
      "what the run began with; a new one takes cards where each of its ranks has one, and its log says so.");
  p.add_silent("optimizer", &place_section::optimizer,
               "Where, with device = cuda, what a model learns with lies (float32 weights, sums of gradients, moments, "
               "averages): card, or host: in host memory, for models that do not fit on a card with it. Both learn the "
               "same; cpu has no card, and keeps it in host memory.");
  p.add_silent("frozen", &place_section::frozen,
               "Where, with device = cuda, the weights of the reference and of reward models that judge stay: card, or "
               "host: in host memory, and each pass has them sent, segment by segment, while it computes with the one "
               "before. Both score the same; sending takes the longer, the fewer ppo.micro-batch-tokens there are.");
  p.add_silent(
      "exchange", &place_section::exchange,
      "How, with device = cuda, ranks exchange what lies on their cards: nccl, from card to card, or host: "
      "copied through host memory, over MPI. Both learn the same. auto means nccl where all ranks have it, and "
      "the log says which it is.");
  p.add_silent("min-nodes", &place_section::min_nodes,
               "Nodes that an attempt needs; with fewer left the job goes back into Slurm's queue. 0: any that is left "
               "is enough, and `troupe submit` asks for one fewer than its --nodes.",
               between(0, 1e5));
  p.add_silent("shrink", &place_section::shrink,
               "When nodes are lost: true goes on with as many ranks fewer, false packs all ranks on those left.");
  p.add_line("wrapper", &place_section::wrapper,
             "Words, apart by blanks, that go before each command that srun starts on a node: ch-run and its options, "
             "where ranks run in a container.");
  const limits stages = between(0, 3);
  p.add_silent(
      "policy-zero", &place_section::policy_zero,
      "ZeRO stage of the policy: 0 keeps all on every rank, 1 cuts the moments among ranks, 2 the gradients too, 3 the "
      "weights too.",
      stages);
  p.add_silent("critic-zero", &place_section::critic_zero, "The same for the critic.", stages);
  p.add_silent("reward-zero", &place_section::reward_zero, "The same for the reward model in its phase.", stages);
  p.add_silent("frozen-zero", &place_section::frozen_zero,
               "The same for the reference and for reward models that judge: 0, or 3 to cut their weights among ranks.",
               stages);
  p.add_silent("tensor-parallel", &place_section::tensor_parallel,
               "Ranks that generate together: each holds its part of the policy's weights and of the cache.",
               between(1, 1e5));
  p.add_silent("policy-ranks", &place_section::policy_ranks,
               "The ranks of the policy in the ppo phase (the other phases are on all ranks): it generates and learns "
               "there. While others score its answers it goes on generating.");
  p.add_silent("critic-ranks", &place_section::critic_ranks, "The same for the critic.");
  p.add_silent("reference-ranks", &place_section::reference_ranks, "The same for the reference.");
  p.add_silent("reward-ranks", &place_section::reward_ranks, "The same for the reward: its models and rules.");
}

const std::vector<option>& job_options() {
  static const std::vector<option> table = [] {
    std::vector<option> rows;
    add_run_rows(rows);
    add_data_rows(rows);
    add_supervised_rows(rows);
    add_ppo_rows(rows);
    add_reward_source_rows(rows);
    add_replay_rows(rows);
    add_other_rows(rows);
    return rows;
  }();
  return table;
}

std::span<const section_help> job_sections() {
  static constexpr auto sections = std::to_array<section_help>({
      {"run", "The run as a whole.", of_every_phase},
      {"model", "The models it starts from.", of_every_phase},
      {"data", "All data sets together.", of_every_phase},
      {"data.*", "One section for each data set, under any name. The sets of a phase are blended by weight.",
       of_phases_drawing},
      {"split",
       "How prompts are divided, by a hash of their content: no prompt is in two phases. A phase "
       "that a set does not serve, or that the run does not have, leaves its share to the others. Options "
       "marked * are held as far as they change the prompts of a phase that has begun.",
       of_no_phase},
      {"length", "Limits on what is read from data sets.", of_every_phase},
      {"pairs", "Phase pairs: preference pairs made from the policy's own samples, labelled by a rule.",
       only<phase::pairs>},
      {"sft", "Phase sft: supervised fine-tuning.", only<phase::sft>},
      {"reward", "Phase reward: a reward model from preference pairs.", only<phase::reward>},
      {"ppo", "Phase ppo: proximal policy optimisation.", only<phase::ppo, phase::replay>},
      {"rewards.*",
       "One section for each source of reward, under any name; ppo learns from their weighted sum. "
       "Without any, ppo learns from the reward model.",
       of_phases_judged},
      {"generation",
       "How answers are sampled: in rollouts, in evaluations, and in pairs where that section "
       "does not differ.",
       only<phase::pairs, phase::ppo>},
      {"replay",
       "Phase replay, the only one of its run: the updates of another run's ppo phase, from its stored experience. "
       "`troupe replay` writes such a job.",
       only<phase::replay>},
      {"evaluation", "What is measured on held-out data.", of_every_phase},
      {"experience", "The record of rollouts below the run's folder.", of_every_phase},
      {"recovery", "What happens when a worker dies or hangs.", of_every_phase},
      {"place", "Where the work is done.", of_every_phase},
  });
  return sections;
}

bool goes_by(const job& job, const option& row, const std::string& name, phase of) {
  if (row.of != nullptr) {
    return row.numbers && row.of(job, name, of);
  }
  const auto sections = job_sections();
  const auto own = std::find_if(sections.begin(), sections.end(), [&](const auto& s) { return s.name == row.section; });
  TROUPE_ASSERT(own != sections.end() && own->of != nullptr);
  return row.numbers && own->of(job, name, of);
}

std::string option::full_name(const std::string& name) const {
  const std::string base = named() ? section.substr(0, section.size() - 1) + name : section;
  return base + "." + key;
}

std::vector<std::string> entry_names(const job& job, const std::string& section) {
  std::vector<std::string> names;
  if (section == "data.*") {
    for (const data_section& entry : job.data) {
      names.push_back(entry.name);
    }
  } else if (section == "rewards.*") {
    for (const reward_source& entry : job.rewards) {
      names.push_back(entry.name);
    }
  } else {
    names.emplace_back();
  }
  return names;
}

void ensure_entry(job& job, const std::string& section, const std::string& name) {
  for (const option& row : job_options()) {
    if (row.section == section) {
      row.find(job, name);  // finding an entry makes it
      return;
    }
  }
  TROUPE_ASSERT(false);
}

}  // namespace troupe::io
