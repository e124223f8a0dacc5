// troupe import FILE FOLDER: rollouts of other systems, JSON lines, into experience files.
#include "base/digest.hpp"
#include "base/printable.hpp"
#include "io/datasets/joiner.hpp"
#include "io/datasets/lines.hpp"
#include "io/experience/exchange.hpp"
#include "jobs/arguments.hpp"
#include "jobs/chat_options.hpp"
#include "jobs/commands.hpp"
#include "jobs/fields.hpp"
#include "jobs/new_experience.hpp"
#include "jobs/tidy_interrupt.hpp"

#include <filesystem>
#include <iostream>
#include <memory>

namespace troupe {

namespace {

namespace po = boost::program_options;
namespace fs = std::filesystem;

constexpr const char* usage =
    "troupe import FILE FOLDER --format FORMAT [options]\n\n"
    "Reads rollouts from FILE (JSON lines, plain or gzip; - is standard input) and writes them as experience files,\n"
    "FOLDER/iteration-N.h5 for each step, which must not be there yet. Text without tokens is tokenised by the\n"
    "tokenizer of --tokenizer. What the import can serve is told; methods that need more refuse it by name.\n";

/// Texts and turns to tokens, as `score` and training join them.
class import_tokeniser {
public:
  import_tokeniser(std::string folder, io::chat_settings chat, bool end_token)
      : tokens_(std::move(folder), std::move(chat)),
        join_([this](std::string_view text) { return tokens_.get()->encode(text, false); }), end_token_(end_token) {}

  const io::tokenizer& tokens() { return *tokens_.get(); }
  int64_t spelled() const { return tokens_.spelled(); }

  io::import_tokens operator()(const io::json_line& prompt, const io::json_line& answer, bool finished) {
    io::import_tokens made;
    const bool turns = prompt.is_array();
    made.answer_text = speech_of(answer);
    if (turns) {
      made.prompt = tokens_.encode_messages({{"messages", prompt}}, true, &made.prompt_text);
    } else {
      made.prompt_text = text_of(prompt, "the prompt");
      made.prompt = io::framed_prompt(tokens(), made.prompt_text);
    }
    made.answer = join_.answer(made.prompt_text, join_.prompt(made.prompt_text), made.answer_text);
    if (const auto end = turns ? end_of_turn() : tokens().eos_id(); end && finished && end_token_) {
      made.answer.push_back(*end);
    }
    return made;
  }

private:
  std::optional<int32_t> end_of_turn() {
    const auto end = tokens_.end_of_turn_token();
    return end ? end : tokens().eos_id();
  }

  static std::string text_of(const io::json_line& value, const char* what) {
    if (!value.is_string()) {
      throw error(errc::bad_argument, "{} is of type {}, neither text nor a list of turns", what, value.type_name());
    }
    return value.get<std::string>();
  }

  /// An answer is a text, or the assistant's turn alone.
  static std::string speech_of(const io::json_line& answer) {
    if (!answer.is_array()) {
      return text_of(answer, "the answer");
    }
    if (answer.size() != 1 || !answer[0].is_object() || !answer[0].contains("content")) {
      throw error(errc::bad_argument, "the answer is a list of turns, and not one turn with \"content\"");
    }
    return text_of(answer[0]["content"], "the answer's content");
  }

  lazy_tokenizer tokens_;
  io::text_joiner join_;
  bool end_token_;
};

io::byte_source open_source(const std::string& file) {
  if (file != "-") {
    return io::open_text(file);
  }
  return [](std::span<char> to) {
    std::cin.read(to.data(), static_cast<std::streamsize>(to.size()));
    return static_cast<size_t>(std::cin.gcount());
  };
}

void read_lines(const std::string& file, io::experience_import& import) {
  io::line_reader lines(open_source(file), file == "-" ? "standard input" : file);
  for (std::string line; lines.next(line);) {
    if (io::is_blank(line)) {
      continue;
    }
    try {
      import.add(io::parse_json_line(line));
    } catch (const error& problem) {
      throw error(problem.code(), "{}, line {}: {}", lines.name(), lines.line(), problem.what());
    }
  }
}

}  // namespace

int import_command(int argc, char** argv) {
  std::string format;
  std::string folder_of_tokenizer;
  io::chat_settings chat;
  io::import_settings settings;
  bool no_end_token = false;
  po::options_description options("Options");
  options.add_options()("format", po::value(&format)->default_value("troupe"), io::exchange_format_words().c_str())(
      "tokenizer", po::value(&folder_of_tokenizer)->value_name("DIR"), "model folder whose tokenizer reads the texts")(
      "no-end-token", po::bool_switch(&no_end_token),
      "finished texts get no end token")("temperature", po::value(&settings.temperature)->default_value(1.0),
                                         "that log-probabilities are of, where lines do not say");
  add_chat_options(options, chat);
  po::variables_map values;
  if (!parse_arguments(argc, argv, usage, options, {"FILE", "FOLDER"}, values)) {
    return exit_ok;
  }
  const std::string file = required_argument(values, "FILE");
  const fs::path folder = required_argument(values, "FOLDER");
  settings.format = from_user([&] { return io::exchange_format_named(format); });
  std::shared_ptr<import_tokeniser> tokenise;
  if (!folder_of_tokenizer.empty()) {
    tokenise = std::make_shared<import_tokeniser>(folder_of_tokenizer, chat, !no_end_token);
    settings.tokenizer_digest = digest_text(tokenise->tokens().digest());
    settings.vocabulary = tokenise->tokens().vocabulary_size();
    settings.tokenise = [tokenise](const auto& prompt, const auto& answer, bool finished) {
      return (*tokenise)(prompt, answer, finished);
    };
  }
  const tidy_interrupt tidy;
  new_experience out(folder);
  io::experience_import import(settings);
  read_lines(file, import);
  const std::vector<io::experience> all = import.finish();
  if (all.empty()) {
    throw error(errc::bad_argument, "{} has no answer", file);
  }
  for (const io::experience& e : all) {
    out.add(e);
  }
  out.commit();
  fmt::print("{}: {} answers in {} files, {} aborted ones left out\n{}\n", printable(folder.string()), out.answers(),
             out.files(), import.left_out(), out.serves());
  if (tokenise) {
    tell_spelled_tokens("import", tokenise->spelled());
  }
  return exit_ok;
}

}  // namespace troupe
