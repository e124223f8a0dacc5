// troupe score DIR: log-probabilities and reward scores of sequences, JSON lines in and out.
#include "actors/models/model_files.hpp"
#include "base/error.hpp"
#include "base/printable.hpp"
#include "engine/train/scoring.hpp"
#include "io/datasets/joiner.hpp"
#include "jobs/arguments.hpp"
#include "jobs/commands.hpp"
#include "jobs/compute_place.hpp"
#include "jobs/dtype_option.hpp"
#include "jobs/fields.hpp"
#include "jobs/score_experience.hpp"

#include <iostream>
#include <optional>

namespace troupe {

namespace {

namespace po = boost::program_options;

constexpr const char* usage =
    "troupe score DIR [options] < in.jsonl > out.jsonl\n\n"
    "Reads one JSON object a line and adds to it what the model in DIR says of its sequence:\n"
    "  logprobs   where the model has a language head: log p of each id given those before it (natural log,\n"
    "             temperature 1); null for the first\n"
    "  score      where the model has a scalar head (a reward model): its value at the last id\n"
    "A language model with v_head.safetensors beside it has both; it is then loaded twice.\n"
    "The sequence is `ids`, or `text`, or `prompt` and `answer`; `ids` is added to the latter two. The prompt has\n"
    "the ids of its own text, the answer those that it has after the prompt. Other fields are kept. A bad line ends\n"
    "the filter: \"line N: what is wrong\", exit status 1.\n"
    "With --experience, fills log-probabilities into experience that was imported without them: --to is the new\n"
    "folder, whose files say that this model gave them.\n";

class score_filter {
public:
  score_filter(const std::string& folder, bool special_tokens, dtype type, int threads, io::device_choice device)
      : place_(threads, device), tokens_(folder), special_tokens_(special_tokens) {
    const actors::model_ptr stored = actors::load_model(folder, actors::head_kind::as_stored, {.type = type});
    if (!stored->net.description().scalar_head) {
      language_.emplace(place_, stored);
      return;
    }
    scalar_.emplace(place_, stored);
    if (actors::has_both_heads(folder)) {
      language_.emplace(place_, actors::load_model(folder, actors::head_kind::language_model, {.type = type}));
    }
  }

  void operator()(io::json_line& line) {
    const std::vector<int32_t> ids = sequence(line);
    if (ids.empty()) {
      throw error(errc::bad_argument, "the sequence is empty");
    }
    line["ids"] = ids;
    engine::packed_batch batch;
    batch.add(ids, 1);
    if (language_) {
      line["logprobs"] = logprobs(batch);
    }
    if (scalar_) {
      const auto scores = engine::end_scores(place_.ctx(), scalar_->model->net, scalar_->weights.data(), batch);
      line["score"] = io::shortest_float(require_finite(scores, scalar_->model->folder)[0]);
    }
  }

private:
  io::json_line logprobs(const engine::packed_batch& batch) {
    io::json_line values = io::json_line::array({nullptr});
    if (batch.token_N.size() > 1) {
      const auto computed =
          engine::answer_log_probs(place_.ctx(), language_->model->net, language_->weights.data(), batch, 1.0F);
      for (auto& value : float_array(require_finite(computed, language_->model->folder))) {
        values.push_back(std::move(value));
      }
    }
    return values;
  }

  std::vector<int32_t> sequence(const io::json_line& line) {
    if (line.contains("ids")) {
      return ids_field(line, "ids");
    }
    if (line.contains("text")) {
      return tokens_.get()->encode(text_field(line, "text"), special_tokens_);
    }
    if (!line.contains("prompt")) {
      throw error(errc::bad_argument, "none of \"ids\", \"text\" and \"prompt\" with \"answer\" is there");
    }
    return joined(text_field(line, "prompt"), text_field(line, "answer"));
  }

  std::vector<int32_t> joined(const std::string& prompt, const std::string& answer) {
    const io::text_frame frame = special_tokens_ ? io::frame_of(*tokens_.get()) : io::text_frame{};
    const io::text_joiner join([this](std::string_view text) { return tokens_.get()->encode(text, false); });
    const std::vector<int32_t> prompt_ids = join.prompt(prompt);
    std::vector<int32_t> ids = frame.before;
    for (const auto& part : {prompt_ids, join.answer(prompt, prompt_ids, answer), frame.after}) {
      ids.insert(ids.end(), part.begin(), part.end());
    }
    return ids;
  }

  compute_place place_;
  std::optional<placed_model> language_, scalar_;  // none: the model has no such head
  lazy_tokenizer tokens_;
  bool special_tokens_;
};

}  // namespace

int score_command(int argc, char** argv) {
  bool no_special_tokens = false;
  int threads = 0;
  dtype type = dtype::f32;
  io::device_choice device = io::device_choice::automatic;
  std::string experience;
  std::string target;
  po::options_description options("Options");
  options.add_options()("no-special-tokens", po::bool_switch(&no_special_tokens),
                        "do not add to a text what the tokenizer's configuration adds (BOS)")(
      "threads", po::value(&threads)->default_value(0), "compute threads; 0: all cores")(
      "experience", po::value(&experience), "a folder of experience, or a file, without log-probabilities")(
      "to", po::value(&target), "with --experience: the folder to write");
  add_dtype_option(options, type);
  add_device_option(options, device);
  po::variables_map values;
  if (!parse_arguments(argc, argv, usage, options, {"DIR"}, values)) {
    return exit_ok;
  }
  require_threads(threads);
  if (experience.empty() != target.empty()) {
    throw usage_error("--experience and --to go together: the experience, and the folder to write");
  }
  if (!experience.empty() && device == io::device_choice::cuda) {
    throw usage_error("--experience is scored on the host: leave --device out");
  }
  if (!experience.empty()) {
    const std::string done = score_experience(required_argument(values, "DIR"), experience, target, type, threads);
    std::cout << printable(done) << '\n';
    return exit_ok;
  }
  score_filter filter(required_argument(values, "DIR"), !no_special_tokens, type, threads, device);
  return io::filter_jsonl(std::cin, std::cout, std::cerr, std::ref(filter));
}

}  // namespace troupe
