// troupe tokenize DIR: text, conversations and ids, each into the other, JSON lines in and out.
#include "base/error.hpp"
#include "jobs/arguments.hpp"
#include "jobs/chat_options.hpp"
#include "jobs/commands.hpp"
#include "jobs/fields.hpp"

#include <iostream>

namespace troupe {

namespace {

namespace po = boost::program_options;

constexpr const char* usage =
    "troupe tokenize DIR [options] < in.jsonl > out.jsonl\n\n"
    "Reads one JSON object a line and writes it back with what it lacks:\n"
    "  messages   [{\"role\": ..., \"content\": ...}, ...], with tools and documents if there are any: adds text\n"
    "             and ids, by the chat template\n"
    "  text       adds ids\n"
    "  ids        adds text\n"
    "The first of these that a line has counts; its other fields are kept. A bad line ends the filter: \"line N:\n"
    "what is wrong\", exit status 1. DIR needs tokenizer files only: tokenizer.json; else vocab.json and\n"
    "merges.txt; else tokenizer.model.\n";

struct tokenize_options {
  bool add_special_tokens = false;
  bool skip_special_tokens = false;
  bool add_generation_prompt = false;
  io::chat_settings chat;
};

class tokenize_filter {
public:
  tokenize_filter(const std::string& folder, const tokenize_options& options)
      : options_(options), tokens_(folder, options.chat) {
    tokens_.get();  // a folder without a tokenizer is an error at once, not at the first line
  }

  void operator()(io::json_line& line) {
    if (line.contains("messages")) {
      std::string text;
      const std::vector<int32_t> ids = tokens_.encode_messages(line, options_.add_generation_prompt, &text);
      line["text"] = text;
      line["ids"] = ids;
    } else if (line.contains("text")) {
      line["ids"] = tokens_.get()->encode(text_field(line, "text"), options_.add_special_tokens);
    } else if (line.contains("ids")) {
      line["text"] = tokens_.get()->decode(ids_field(line, "ids"), options_.skip_special_tokens);
    } else {
      throw error(errc::bad_argument, "none of \"text\", \"ids\" and \"messages\" is there");
    }
  }

  int64_t spelled() const { return tokens_.spelled(); }

private:
  tokenize_options options_;
  lazy_tokenizer tokens_;
};

}  // namespace

int tokenize_command(int argc, char** argv) {
  tokenize_options chosen;
  po::options_description options("Options");
  options.add_options()("add-special-tokens", po::bool_switch(&chosen.add_special_tokens),
                        "add to a text what the tokenizer's own configuration adds (BOS for OPT and Llama)")(
      "skip-special-tokens", po::bool_switch(&chosen.skip_special_tokens),
      "leave special tokens out of the text of ids")("add-generation-prompt",
                                                     po::bool_switch(&chosen.add_generation_prompt),
                                                     "end the text of messages with the start of an assistant's turn");
  add_chat_options(options, chosen.chat);
  po::variables_map values;
  if (!parse_arguments(argc, argv, usage, options, {"DIR"}, values)) {
    return exit_ok;
  }
  std::ios::sync_with_stdio(false);
  tokenize_filter filter(required_argument(values, "DIR"), chosen);
  const int status = io::filter_jsonl(std::cin, std::cout, std::cerr, std::ref(filter));
  tell_spelled_tokens("tokenize", filter.spelled());
  return status;
}

}  // namespace troupe
