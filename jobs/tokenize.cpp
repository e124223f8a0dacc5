// troupe tokenize: text, conversations and ids, each into the other, as JSONL.
#include "io/jsonl_filter.hpp"
#include "io/tokenizer/chat.hpp"
#include "io/tokenizer/tokenizer.hpp"
#include "jobs/commands.hpp"
#include "kernels/base/error.hpp"

#include <boost/program_options.hpp>

#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {
namespace {

namespace po = boost::program_options;

constexpr const char* usage = R"(troupe tokenize DIR [options] < in.jsonl > out.jsonl

Reads one JSON object a line and writes it back with what it lacks:
  messages   [{"role": ..., "content": ...}, ...]: adds text and ids, by DIR's chat template
  text       adds ids
  ids        adds text
The first of these that a line has counts; its other fields are kept. A bad line ends the filter with
"line N: what is wrong" and exit status 1. DIR needs tokenizer files only: tokenizer.json; else vocab.json and
merges.txt; else tokenizer.model.

Options)";

struct tokenize_options {
  std::string folder;
  bool add_special_tokens = false;
  bool skip_special_tokens = false;
  bool add_generation_prompt = false;
};

po::options_description visible_options(tokenize_options& options) {
  po::options_description visible(usage);
  visible.add_options()("help,h", "print this")(
      "add-special-tokens", po::bool_switch(&options.add_special_tokens),
      "add to a text what the tokenizer's own configuration adds (BOS for OPT and Llama)")(
      "skip-special-tokens", po::bool_switch(&options.skip_special_tokens),
      "leave special tokens out of the text of ids")(
      "add-generation-prompt", po::bool_switch(&options.add_generation_prompt),
      "end the text of messages with the start of an assistant's turn");
  return visible;
}

/// Empty after --help.
std::optional<tokenize_options> parse_options(int argc, char** argv) {
  tokenize_options options;
  const po::options_description visible = visible_options(options);
  po::options_description all;
  all.add(visible).add_options()("dir", po::value(&options.folder));
  po::positional_options_description positions;
  positions.add("dir", 1);
  po::variables_map values;
  try {
    po::store(
        po::command_line_parser(argc, argv)
            .options(all)
            .positional(positions)
            .style(po::command_line_style::default_style & ~po::command_line_style::allow_guessing)
            .run(),
        values);
    po::notify(values);
  } catch (const po::error& problem) {
    throw error(errc::bad_argument, "{}; see troupe tokenize --help", problem.what());
  }
  if (values.count("help") > 0) {
    std::cout << visible;
    return std::nullopt;
  }
  if (options.folder.empty()) {
    throw error(errc::bad_argument,
                "the tokenizer's folder is missing; see troupe tokenize --help");
  }
  return options;
}

std::string text_field(const io::json_line& value, const char* name) {
  if (!value.is_string()) {
    throw error(errc::bad_argument, "\"{}\" is of type {}, not text", name, value.type_name());
  }
  return value.get<std::string>();
}

std::vector<int32_t> ids_field(const io::json_line& value) {
  if (!value.is_array()) {
    throw error(errc::bad_argument, "\"ids\" is of type {}, not an array", value.type_name());
  }
  std::vector<int32_t> ids;
  for (const io::json_line& id : value) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX) {
      throw error(errc::bad_argument, "\"ids\"[{}] is {}, not an id", ids.size(), id.dump());
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

class tokenize_filter {
public:
  explicit tokenize_filter(const tokenize_options& options)
      : options_(options), tokens_(io::load_tokenizer(options.folder)) {}

  void operator()(io::json_line& line) {
    if (const auto messages = line.find("messages"); messages != line.end()) {
      if (!format_) {
        format_ = io::chat_format::of(*tokens_);
      }
      const auto conversation = io::read_messages(*messages);
      const std::string text = format_->render(conversation, options_.add_generation_prompt);
      line["text"] = text;
      line["ids"] = io::encode_chat(*tokens_, text);
    } else if (const auto text = line.find("text"); text != line.end()) {
      const std::string value = text_field(*text, "text");
      line["ids"] = tokens_->encode(value, options_.add_special_tokens);
    } else if (const auto ids = line.find("ids"); ids != line.end()) {
      line["text"] = tokens_->decode(ids_field(*ids), options_.skip_special_tokens);
    } else {
      throw error(errc::bad_argument, "none of \"text\", \"ids\" and \"messages\" is there");
    }
  }

private:
  tokenize_options options_;
  std::unique_ptr<io::tokenizer> tokens_;
  std::optional<io::chat_format> format_; // an unknown template matters only to those who chat
};

} // namespace

int tokenize_command(int argc, char** argv) {
  try {
    const auto options = parse_options(argc, argv);
    if (!options) {
      return 0;
    }
    std::ios::sync_with_stdio(false);
    tokenize_filter filter(*options);
    return io::filter_jsonl(std::cin, std::cout, std::cerr, std::ref(filter));
  } catch (const error& problem) {
    std::cerr << "troupe tokenize: " << problem.what() << '\n';
    return 1;
  }
}

} // namespace troupe
