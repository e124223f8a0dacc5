// troupe eval DIR --data FILE: perplexity of a language model, or accuracy of a reward model, on a data set.
#include "actors/models/model_files.hpp"
#include "actors/models/special_tokens.hpp"
#include "base/error.hpp"
#include "base/printable.hpp"
#include "engine/objectives/moments.hpp"
#include "engine/objectives/pairwise.hpp"
#include "engine/objectives/sft.hpp"
#include "engine/train/scoring.hpp"
#include "io/datasets/examples.hpp"
#include "io/datasets/recognise.hpp"
#include "io/json/jsonl_filter.hpp"
#include "jobs/arguments.hpp"
#include "jobs/chat_options.hpp"
#include "jobs/commands.hpp"
#include "jobs/compute_place.hpp"
#include "jobs/dtype_option.hpp"
#include "jobs/fields.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <iostream>

namespace troupe {

namespace {

namespace po = boost::program_options;

constexpr const char* usage =
    "troupe eval DIR --data FILE [options]\n\n"
    "Prints one JSON object: for a language model `perplexity` of the answers (or of whole texts) with its 95 %\n"
    "interval over records (null for one record); for a model with a scalar head, on pairs, `accuracy` with its\n"
    "Wilson 95 % interval, `margin` with its 95 % interval, `chosen_mean`, `rejected_mean`, and `longer_wins`, the\n"
    "accuracy of calling the longer answer the better one.\n"
    "A language model with v_head.safetensors beside it is judged by the head that the format asks for.\n"
    "`n` is the number of records used, `left_out` how many were not.\n";

constexpr double normal_95 = 1.959964;

struct eval_options {
  std::string folder, data, format = "auto", loss = "answers";
  io::chat_settings chat;
  int64_t max_tokens = 0, limit = 0;
  int threads = 0;
  dtype type = dtype::f32;
  io::device_choice device = io::device_choice::automatic;
};

struct loaded_examples {
  std::vector<io::example> kept;
  int64_t left_out = 0;
};

bool enough(const eval_options& options, const loaded_examples& loaded) {
  return options.limit > 0 && static_cast<int64_t>(loaded.kept.size()) >= options.limit;
}

void tell_unusable(const std::string& data, const io::line_counts& counts) {
  if (counts.unusable > 0) {
    const std::string told = fmt::format("{}: {} of {} records cannot be used and are left out:\n  {}\n", data,
                                         counts.unusable, counts.records, fmt::join(counts.examples, "\n  "));
    fmt::print(stderr, "{}", printable(told));
  }
}

/// A job that has the data to be judged, its format recognised where no option names it.
io::job job_of(const eval_options& options) {
  // The job file's own parser gives the section its defaults and checks the format's name.
  const std::string text = fmt::format("[run]\nphases = sft\n[model]\npolicy = .\n[data.evaluated]\n"
                                       "format = {}\nphases = sft\n",
                                       options.format);
  const std::vector<std::string> path = {"--data.evaluated.path", options.data};
  std::vector<std::string> told;
  io::job_origin origin{.name = "the options of eval"};
  origin.recognise = io::recogniser(told);
  io::job job = from_user([&] { return io::parse_job(text, origin, path); });
  for (const std::string& line : told) {
    fmt::print(stderr, "{}\n", printable(line));
  }
  return job;
}

loaded_examples load_examples(const eval_options& options, io::job job, const actors::model& m, bool pairs) {
  io::data_section& set = job.data.front();
  set.chat_template = options.chat.format == "model" ? "" : options.chat.format;
  set.template_date = options.chat.date;
  set.template_variables = options.chat.variables;
  if (pairs && !io::can_serve(set.format, false, io::phase::reward)) {
    throw usage_error(
        "{} has a scalar head (a reward model or critic), which is judged on pairs, and format {} has none: "
        "give --data with pairs, or name a language model (a run leaves it in models/sft or models/policy)",
        options.folder, io::to_string(set.format));
  }
  const int64_t positions = m.net.description().max_positions;
  job.length = {.max_prompt_tokens = positions,
                .max_tokens = options.max_tokens > 0 ? std::min(options.max_tokens, positions) : positions};
  const io::example_rules rules = actors::example_rules_of(job, io::load_tokenizer(m.folder));
  io::source_report report;
  loaded_examples out;
  const io::chat_format format = rules.format_of(set);
  io::record_reader records(set, format);
  const auto wanted = pairs ? io::phase::reward : io::phase::sft;
  for (io::record record; !enough(options, out) && records.next(record);) {
    if (auto example = io::make_example(record, wanted, set, rules, report)) {
      out.kept.push_back(std::move(*example));
    }
  }
  out.left_out = records.counts().records - static_cast<int64_t>(out.kept.size());
  tell_unusable(options.data, records.counts());
  if (out.kept.empty()) {
    throw error(errc::bad_argument, "{}: no record can be used ({} left out: too long, or without an answer{})",
                options.data, out.left_out, pairs ? " pair" : "");
  }
  return out;
}

/// Per record: sum of - log p, and tokens. The interval is that of a ratio of two means over records (delta method).
io::json_line perplexity(context& ctx, const placed_model& placed, const std::vector<io::example>& examples,
                         bool all_tokens) {
  const actors::model& m = *placed.model;
  std::vector<double> nll;
  std::vector<double> tokens;
  engine::lm_statistics sums;
  for (const io::example& example : examples) {
    engine::packed_batch batch;
    const int64_t counted_from = all_tokens ? 1 : std::max<int64_t>(1, static_cast<int64_t>(example.prompt.size()));
    batch.add(example.prompt, example.chosen, counted_from);
    double total = 0;
    const auto logprobs = engine::answer_log_probs(ctx, m.net, placed.weights.data(), batch, 1.0F);
    for (const float logprob : require_finite(logprobs, m.folder)) {
      total -= static_cast<double>(logprob);
    }
    nll.push_back(total);
    tokens.push_back(static_cast<double>(logprobs.size()));
    sums.nll_nats += total;
    sums.tokens += static_cast<int64_t>(logprobs.size());
  }
  const double mean = sums.mean_nll_nats();
  double squares = 0;
  for (size_t i = 0; i < nll.size(); ++i) {
    const double residual = nll[i] - mean * tokens[i];
    squares += residual * residual;
  }
  const auto n = static_cast<double>(nll.size());
  const double mean_tokens = static_cast<double>(sums.tokens) / n;
  const double error_of_mean = std::sqrt(squares / (n - 1) / n) / mean_tokens;
  io::json_line out;
  out["perplexity"] = sums.perplexity();
  out["perplexity_interval"] = nullptr;  // one record says nothing of how records differ
  if (n > 1) {
    out["perplexity_interval"] = {std::exp(mean - normal_95 * error_of_mean),
                                  std::exp(mean + normal_95 * error_of_mean)};
  }
  out["loss_nats"] = mean;
  out["tokens"] = sums.tokens;
  return out;
}

/// Of the mean of differences between records; null for one, which says nothing of how they differ.
io::json_line mean_interval(const std::vector<double>& values, double mean) {
  if (values.size() < 2) {
    return nullptr;
  }
  double squares = 0;
  for (const double value : values) {
    squares += (value - mean) * (value - mean);
  }
  const auto n = static_cast<double>(values.size());
  const double half = normal_95 * std::sqrt(squares / (n - 1) / n);
  return {mean - half, mean + half};
}

/// Source  Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
io::json_line wilson_interval(double right, double n) {
  const double p = right / n;
  const double z2 = normal_95 * normal_95;
  const double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = normal_95 / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};  // rounding could lead beyond
}

io::json_line accuracy(context& ctx, const placed_model& placed, const std::vector<io::example>& examples) {
  const actors::model& m = *placed.model;
  double right = 0;
  double longer_wins = 0;
  double chosen = 0;
  double rejected = 0;
  std::vector<double> margins;
  for (const io::example& pair : examples) {
    engine::packed_batch batch;
    batch.add(pair.prompt, pair.chosen, 1);
    batch.add(pair.prompt, pair.rejected, 1);
    const auto computed = engine::end_scores(ctx, m.net, placed.weights.data(), batch);
    const auto scores = require_finite(computed, m.folder);
    const double margin = static_cast<double>(scores[0]) - static_cast<double>(scores[1]);
    right += engine::rightness(margin);
    chosen += static_cast<double>(scores[0]);
    rejected += static_cast<double>(scores[1]);
    margins.push_back(margin);
    const auto difference = static_cast<int64_t>(pair.chosen.size()) - static_cast<int64_t>(pair.rejected.size());
    longer_wins += engine::rightness(static_cast<double>(difference));
  }
  const auto n = static_cast<double>(examples.size());
  io::json_line out;
  out["accuracy"] = right / n;
  out["accuracy_interval"] = wilson_interval(right, n);
  const double margin = (chosen - rejected) / n;
  out["margin"] = margin;
  out["margin_interval"] = mean_interval(margins, margin);
  out["chosen_mean"] = chosen / n;
  out["rejected_mean"] = rejected / n;
  out["longer_wins"] = longer_wins / n;
  return out;
}

void print_table(const io::json_line& values) {
  for (const auto& [name, value] : values.items()) {
    fmt::print("{:<22}{}\n", name, io::json_line_text(value));
  }
}

}  // namespace

int eval_command(int argc, char** argv) {
  eval_options chosen;
  po::options_description options("Options");
  options.add_options()("data", po::value(&chosen.data)->required()->value_name("FILE"),
                        "JSON lines, plain or gzip-compressed")(
      "format", po::value(&chosen.format)->default_value("auto")->value_name("FORMAT"),
      "text, prompt-answer, pairs, hh-dialogue, conversations, instruction or question-answer; auto: by the columns")(
      "loss", po::value(&chosen.loss)->default_value("answers")->value_name("answers|all"),
      "perplexity of the answers, or of all tokens")("max-tokens", po::value(&chosen.max_tokens)->default_value(0),
                                                     "leave out what is longer; 0: the model's limit")(
      "limit", po::value(&chosen.limit)->default_value(0), "use the first so many records; 0: all")(
      "threads", po::value(&chosen.threads)->default_value(0), "compute threads; 0: all cores");
  add_dtype_option(options, chosen.type);
  add_device_option(options, chosen.device);
  add_chat_options(options, chosen.chat);
  po::variables_map values;
  if (!parse_arguments(argc, argv, usage, options, {"DIR"}, values)) {
    return exit_ok;
  }
  require_threads(chosen.threads);
  if (chosen.loss != "answers" && chosen.loss != "all") {
    throw usage_error("--loss is \"{}\": it is answers or all", chosen.loss);
  }
  compute_place place(chosen.threads, chosen.device);
  chosen.folder = required_argument(values, "DIR");
  const io::job job = job_of(chosen);
  const io::data_format format = job.data.front().format;
  const bool pair_format = format == io::data_format::pairs || format == io::data_format::hh_dialogue;
  const auto head = !pair_format && actors::has_both_heads(chosen.folder) ? actors::head_kind::language_model
                                                                          : actors::head_kind::as_stored;
  const auto m = actors::load_model(chosen.folder, head, {.type = chosen.type});
  const bool pairs = m->net.description().scalar_head;
  const loaded_examples examples = load_examples(chosen, job, *m, pairs);
  const placed_model placed(place, m);
  io::json_line result = pairs ? accuracy(place.ctx(), placed, examples.kept)
                               : perplexity(place.ctx(), placed, examples.kept, chosen.loss == "all");
  result["n"] = examples.kept.size();
  result["left_out"] = examples.left_out;
  if (::isatty(STDOUT_FILENO) == 1) {
    print_table(result);
  }
  std::cout << io::json_line_text(result) << std::endl;
  return exit_ok;
}

}  // namespace troupe
