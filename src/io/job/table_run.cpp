#include "io/job/rows.hpp"

namespace troupe::io {

static void add_run_section(std::vector<option>& table) {
  rows<run_section> run(table, "run", [](job& j, const std::string&) -> run_section& { return j.run; });
  option& dir = run.add_silent("dir", &run_section::dir,
                               "Folder of the run: everything is written below it. Empty: runs/ and the job "
                               "file's name without .ini, in the current folder.");
  dir.text = text_kind::run_folder;
  run.add("seed", &run_section::seed, "Seed of every random number of the run.");
  run.add_silent("phases", &run_section::phases, "What to do, in this order; finished phases are skipped.");
  run.add_silent("threads", &run_section::threads, "Compute threads of a rank; 0: all cores.", between(0, 4096));
  run.add_silent("checkpoint-every", &run_section::checkpoint_every,
                 "Updates (sft, reward) or iterations (pairs, ppo) between two checkpoints.", at_least(1));
  run.add_silent("keep-checkpoints", &run_section::keep_checkpoints, "Checkpoints of a phase that are kept.",
                 at_least(1));
  run.add_silent(
      "keep-best", &run_section::keep_best,
      "Keep also the checkpoint with the best evaluation of its phase, and take one where an evaluation is the "
      "best so far: held-out perplexity (sft), held-out accuracy (reward), mean reward (ppo).");
  run.add_silent(
      "checkpoint-copy", &run_section::checkpoint_copy,
      "true copies in host memory what a checkpoint holds, and writes it while training goes on. false has training "
      "wait while it is written, and copies nothing that lies in host memory: for models that fill it.");
  run.add_silent("exact", &run_section::exact,
                 "Stop when the log-probability of a sampled token differs in any bit from the one "
                 "that training computes for it.");
  run.add("lanes", &run_section::lanes,
          "A power of two. Above 1, gradients are summed in so many lanes joined by a fixed tree: any "
          "number of ranks that divides it gives the same bits.",
          between(1, 4096));
  run.add_silent("activation-checkpointing", &run_section::activation_checkpointing,
                 "Keep only each layer's input for the backward pass and compute the rest again: less "
                 "memory, a third more time, the same bits.");
  run.add_silent("log-every", &run_section::log_every, "Updates or iterations between two lines of progress.",
                 at_least(1));
}

static void add_model_section(std::vector<option>& table) {
  rows<model_section> model(table, "model", [](job& j, const std::string&) -> model_section& { return j.model; });
  model.add_path("policy", &model_section::policy, "Folder (Hugging Face layout) of the model to train. Required.");
  model
      .add_path("reference", &model_section::reference,
                "Folder of the model that the KL is measured against. Empty: the policy as PPO starts.")
      .of = only<phase::ppo>;
  model
      .add_path("reward", &model_section::reward,
                "Folder of the model that the reward phase starts from; without that phase, of the trained "
                "reward model. Empty: the reward phase starts from model.policy.")
      .of = only<phase::reward, phase::ppo>;
  model
      .add_path("critic", &model_section::critic,
                "Folder that the critic starts from. Empty: the reward model; where there is none, the "
                "policy with a new head.")
      .of = only<phase::ppo>;
  model
      .add("initial", &model_section::initial,
           "random: the weights of model.policy are drawn from the seed; its folder needs no weights.")
      .of = only<phase::pairs, phase::sft, phase::ppo>;
  model
      .add("dtype", &model_section::type,
           "Type of the weights in memory that models compute with. bf16: half the bytes to hold, to read and to send. "
           "Models that learn keep float32 weights beside it, which the optimizer steps and checkpoints hold; frozen "
           "ones are rounded when they are read, unless their files are bf16. All else stays float32.")
      .of = of_models_in_bf16;
}

void add_run_rows(std::vector<option>& table) {
  add_run_section(table);
  add_model_section(table);
}

static data_section& data_entry(job& j, const std::string& name) {
  for (data_section& entry : j.data) {
    if (entry.name == name) {
      return entry;
    }
  }
  data_section& entry = j.data.emplace_back();
  entry.name = name;
  return entry;
}

static void add_field_names(rows<data_section>& data) {
  data.add("text", &data_section::text, "Name of the record's field with a whole text. Empty: text.");
  data.add("prompt", &data_section::prompt,
           "Name of the field with the prompt. Empty: prompt; instruction or question in the formats of "
           "these names.");
  data.add("input", &data_section::input, "Name of the field with an instruction's input. Empty: input.");
  data.add("answer", &data_section::answer,
           "Name of the field with the answer. Empty: answer; output in format instruction.");
  data.add("chosen", &data_section::chosen, "Name of the field with the better answer. Empty: chosen.");
  data.add("rejected", &data_section::rejected, "Name of the field with the worse answer. Empty: rejected.");
  data.add("conversations", &data_section::conversations,
           "Name of the field with the list of turns. Empty: conversations, else messages.");
  data.add("reference", &data_section::reference,
           "Name of the field with the right answer, for rewards of kind answer; reward_model.ground_truth is a "
           "field of a field. Empty: the answer.");
}

static void add_stored_answers(rows<data_section>& data) {
  data.add("unique", &data_section::unique,
           "experience: of equal answers to a prompt in an iteration only one counts.");
  data.add("best", &data_section::best,
           "experience, in sft: of each prompt's answers in an iteration only so many of the highest reward "
           "(best-of-n); 0: all.",
           at_least(0));
  data.add("min-reward", &data_section::min_reward,
           "experience, in sft: only answers with at least this reward; -inf: all.", {.infinite = true});
  data.add("advantage-temperature", &data_section::advantage_temperature,
           "experience, in sft: an answer's loss is weighted by min(exp(A / temperature), 20), A its reward above the "
           "mean of its prompt's answers in that iteration, so that weights of a batch are 1 on average over its "
           "tokens; 0: all weigh the same, as with inf.",
           {.low = 0, .infinite = true});
  data.add("pairs-per-prompt", &data_section::pairs_per_prompt,
           "experience, in reward: of each prompt's answers in an iteration at most so many pairs, those that differ "
           "most first (1: the best against the worst); 0: every pair, so that the ranked answers are learned.",
           at_least(0));
  data.add("pair-margin", &data_section::pair_margin,
           "experience, in reward: rewards of a pair differ by more than this.", at_least(0));
}

void add_data_rows(std::vector<option>& table) {
  rows<data_sets_section> sets(table, "data",
                               [](job& j, const std::string&) -> data_sets_section& { return j.data_sets; });
  sets.add_silent("max-unusable", &data_sets_section::max_unusable,
                  "Largest share of a set's records that may be left out because they cannot be used (turns of tools, "
                  "missing fields, a pair that parts in the human's words): with more, nothing is started.",
                  between(0, 1));

  rows<data_section> data(table, "data.*", data_entry);
  data.add_path("path", &data_section::path,
                "JSON Lines, plain or gzip-compressed; of format experience a file, or a folder of files "
                "iteration-N.h5. Required.");
  data.add("format", &data_section::format,
           "What a record looks like. auto: by the columns of the file's first records, which is told.");
  data.add("weight", &data_section::weight,
           "Passes over this set in an epoch: 2 shows each record twice, 0.5 half of them.",
           {.low = 0, .high = 1000, .open_low = true});
  data.add("phases", &data_section::phases,
           "Who uses the set. Empty: sft, reward and ppo as far as the format can serve them (conversations: not "
           "reward). pairs must be asked for.")
      .of = of_no_phase;  // what its prompts are for is held, see options_of
  add_field_names(data);
  data.add("prompt-template", &data_section::prompt_template,
           "Text around the prompt, with {prompt} in it. Empty: the format's own (\"\\n\\nHuman: "
           "{prompt}\\n\\nAssistant:\" for instruction and question-answer, else the prompt alone).");
  data.add("answer-template", &data_section::answer_template,
           "Text around an answer, with {answer} in it. Empty: the format's own (\" {answer}\" for "
           "instruction and question-answer, the chat template's for turns, else the answer alone).");
  data.add("chat-template", &data_section::chat_template,
           "How turns become a text, and prompts that are texts turns: model (the template in the policy's folder; "
           "without one, dialogue), a file with a Jinja template, or chatml, smollm2, qwen2, dialogue, deepspeed-chat, "
           "llama-2 or llama-3. Empty: model, for lists of turns alone.");
  data.add("template-date", &data_section::template_date,
           "YYYY-MM-DD: today, for chat templates that write the date. Empty: such a template is refused.");
  data.add("template-variables", &data_section::template_variables,
           "A JSON object: further variables of the chat template, such as {\"enable_thinking\": false}.");
  data.add("prompt-words", &data_section::prompt_words, "text: the first so many words of each text are its prompt.",
           between(0, 1e6));
  data.add("end-token", &data_section::end_token, "Append the tokenizer's end token to answers.");
  data.add("limit", &data_section::limit, "Read at most so many records; 0: all.", at_least(0));
  add_stored_answers(data);

  rows<split_section> split(table, "split", [](job& j, const std::string&) -> split_section& { return j.split; });
  split.add("sft", &split_section::sft, "Share of the prompts for sft.", at_least(0));
  split.add("reward", &split_section::reward, "Share of the prompts for reward.", at_least(0));
  split.add("ppo", &split_section::ppo, "Share of the prompts for ppo.", at_least(0));
  split.add("held-out", &split_section::held_out, "Share that is only evaluated on.", at_least(0));
  split.add(
      "phases", &split_section::phases,
      "The phases that the run has or is to have. Where they are run one at a time, name them all when the first "
      "begins: what it is given then, no later phase can have. Empty: as the run began, and those of run.phases.");

  rows<length_section> length(table, "length", [](job& j, const std::string&) -> length_section& { return j.length; });
  length.add("max-prompt-tokens", &length_section::max_prompt_tokens, "Longest prompt.", between(1, 1e9));
  length
      .add("max-tokens", &length_section::max_tokens,
           "Longest prompt and answer together, end token included, in sft and reward.", between(2, 1e9))
      .of = only<phase::sft, phase::reward, phase::ppo>;
  length.add("too-long", &length_section::too_long,
             "truncate: a prompt loses its beginning, an answer its end; drop: the record is left out. "
             "Both are counted.");
}

}  // namespace troupe::io
