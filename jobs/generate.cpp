// troupe generate DIR: answers to prompts, JSON lines in and out.
#include "actors/cast/stop_strings.hpp"
#include "actors/models/model_files.hpp"
#include "actors/models/special_tokens.hpp"
#include "base/error.hpp"
#include "io/datasets/joiner.hpp"
#include "jobs/arguments.hpp"
#include "jobs/chat_options.hpp"
#include "jobs/commands.hpp"
#include "jobs/compute_place.hpp"
#include "jobs/fields.hpp"
#include "jobs/sampling_options.hpp"

#include <iostream>

namespace troupe {

namespace {

namespace po = boost::program_options;

constexpr const char* usage =
    "troupe generate DIR [options] < in.jsonl > out.jsonl\n\n"
    "Reads one JSON object a line (`prompt`, or `ids`, or `messages`) and adds `answers`: for each sample an object\n"
    "with `text`, `ids`, `logprobs` (log softmax of logits / temperature; greedy: temperature 1) and `finish` (stop\n"
    "or length). Other fields are kept. A sample is a function of the model, the prompt, the options and the number\n"
    "of the sample: not of the other lines. A bad line ends the filter: \"line N: what is wrong\", exit status 1.\n";

class generate_filter {
public:
  generate_filter(const std::string& folder, const sampling_options& options, const io::chat_settings& chat,
                  int64_t samples, bool ignore_eos)
      : options_(options), samples_(samples), ignore_eos_(ignore_eos), place_(options.threads, options.device),
        model_(actors::load_model(folder, actors::head_kind::language_model, {.type = options.type})),
        weights_(place_, *model_), tokens_(folder, chat) {}

  void operator()(io::json_line& line) {
    engine::generation_request request;
    request.prompt = prompt(line);
    request.max_new_tokens = options_.max_new_tokens;
    request.sampling = options_.sampling;
    request.seed = options_.seed;
    for (int64_t s = 0; s < samples_; ++s) {
      request.sequence_ids.push_back(static_cast<uint64_t>(s));
    }
    if (!ignore_eos_) {
      request.stop_tokens = actors::stop_tokens_of(*model_, *tokens_.get());
      if (line.contains("messages")) {
        if (const auto end = tokens_.end_of_turn_token()) {
          request.stop_tokens.push_back(*end);
        }
      }
    }
    if (!options_.stop.empty()) {
      request.stop = actors::make_stop_check(tokens_.get(), options_.stop);
    }
    engine::generator generator(model_->net, weights_.data(),
                                generator_for(model_->net.description(), samples_,
                                              static_cast<int64_t>(request.prompt.size()), options_.max_new_tokens),
                                place_.card());
    io::json_line answers = io::json_line::array();
    for (const engine::generated_sequence& answer :
         engine::generate_all(place_.ctx(), generator, {std::move(request)})) {
      answers.push_back(describe(answer));
    }
    line["answers"] = std::move(answers);
  }

  int64_t spelled() const { return tokens_.spelled(); }

private:
  std::vector<int32_t> prompt(const io::json_line& line) {
    if (line.contains("messages")) {
      return tokens_.encode_messages(line, true);
    }
    if (line.contains("prompt")) {
      return io::framed_prompt(*tokens_.get(), text_field(line, "prompt"));
    }
    if (line.contains("ids")) {
      return ids_field(line, "ids");
    }
    throw error(errc::bad_argument, "none of \"prompt\", \"ids\" and \"messages\" is there");
  }

  io::json_line describe(const engine::generated_sequence& answer) {
    io::json_line out;
    out["text"] = tokens_.get()->decode(answer.ids, true);
    out["ids"] = answer.ids;
    out["logprobs"] = float_array(answer.logprobs);
    out["finish"] = answer.finish == engine::finish_reason::stop ? "stop" : "length";
    return out;
  }

  sampling_options options_;
  int64_t samples_;
  bool ignore_eos_;
  compute_place place_;
  actors::model_ptr model_;
  placed_weights weights_;
  lazy_tokenizer tokens_;
};

}  // namespace

int generate_command(int argc, char** argv) {
  sampling_options sampling;
  int64_t samples = 1;
  bool ignore_eos = false;
  io::chat_settings chat;
  po::options_description options("Options");
  add_sampling_options(options, sampling);
  add_chat_options(options, chat);
  options.add_options()("n", po::value(&samples)->default_value(1), "samples of each prompt")(
      "ignore-eos", po::bool_switch(&ignore_eos), "go on past end tokens, to --max-new-tokens");
  po::variables_map values;
  if (!parse_arguments(argc, argv, usage, options, {"DIR"}, values)) {
    return exit_ok;
  }
  check_sampling_options(sampling);
  constexpr int64_t most_samples = 4096;
  if (samples < 1 || samples > most_samples) {
    throw usage_error("--n is {}: it must lie between 1 and {}", samples, most_samples);
  }
  generate_filter filter(required_argument(values, "DIR"), sampling, chat, samples, ignore_eos);
  const int status = io::filter_jsonl(std::cin, std::cout, std::cerr, std::ref(filter));
  tell_spelled_tokens("generate", filter.spelled());
  return status;
}

}  // namespace troupe
