// troupe chat DIR: a conversation in the terminal.
#include "actors/models/model_files.hpp"
#include "actors/models/special_tokens.hpp"
#include "base/error.hpp"
#include "base/printable.hpp"
#include "base/thread_pool.hpp"
#include "jobs/arguments.hpp"
#include "jobs/chat_options.hpp"
#include "jobs/commands.hpp"
#include "jobs/fields.hpp"
#include "jobs/sampling_options.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

namespace troupe {

namespace {

namespace po = boost::program_options;

constexpr const char* usage =
    "troupe chat DIR [options]\n\n"
    "A conversation with the model in DIR, in its own chat format (plain Human/Assistant dialogue where it has none).\n"
    "/clear forgets the conversation, /quit or the end of input leaves, /help says so.\n";

/// Prints an answer as it comes, up to the text that ends the turn.
class answer_printer {
public:
  answer_printer(const io::tokenizer& tokens, std::vector<std::string> stops)
      : decoder_(tokens.make_stream_decoder(true)), stops_(std::move(stops)) {}

  /// True when the turn has ended.
  bool push(int32_t id) {
    text_ += decoder_->push(id);
    size_t end = std::string::npos;
    size_t held_back = 0;
    for (const std::string& stop : stops_) {
      end = std::min(end, text_.find(stop));
      held_back = std::max(held_back, longest_begun(stop));
    }
    if (end != std::string::npos) {
      text_.resize(end);
      print_to(end);
      return true;
    }
    print_to(text_.size() - held_back);
    return false;
  }

  std::string finish() {
    text_ += decoder_->finish();
    print_to(text_.size());
    return text_;
  }

private:
  /// How much of the text's end may be the beginning of `stop`: not to be shown yet.
  size_t longest_begun(const std::string& stop) const {
    for (size_t length = std::min(stop.size() - 1, text_.size()); length > 0; --length) {
      if (text_.ends_with(std::string_view(stop).substr(0, length))) {
        return length;
      }
    }
    return 0;
  }

  /// Whole characters only, and none that the terminal would take for a command.
  void print_to(size_t end) {
    while (end > printed_ && end < text_.size() && (static_cast<unsigned char>(text_[end]) & 0xC0) == 0x80) {
      --end;
    }
    if (end > printed_) {
      std::cout << printable(std::string_view(text_).substr(printed_, end - printed_)) << std::flush;
      printed_ = end;
    }
  }

  std::unique_ptr<io::stream_decoder> decoder_;
  std::vector<std::string> stops_;
  std::string text_;
  size_t printed_ = 0;
};

class conversation {
public:
  conversation(const std::string& folder, const sampling_options& options, const io::chat_settings& chat)
      : options_(options), pool_(options.threads),
        model_(actors::load_model(folder, actors::head_kind::language_model)), tokens_(folder, chat) {
    stops_ = options.stop;
    if (std::string end = io::end_of_turn_text(tokens_.format()); !end.empty()) {
      stops_.push_back(std::move(end));
    }
  }

  void clear() { turns_.clear(); }

  void say(const std::string& text) {
    turns_.push_back({"user", text});
    try {
      std::string words = answer();
      turns_.push_back({"assistant", std::move(words)});
    } catch (...) {
      turns_.pop_back();  // what could not be answered must not spoil the turns after it
      throw;
    }
    std::cout << std::endl;
    tell_spelled_tokens("chat", tokens_.spelled() - told_);
    told_ = tokens_.spelled();
  }

  std::string_view format() { return tokens_.format().name(); }

private:
  /// Printed as it comes, and returned.
  std::string answer() {
    engine::generation_request request;
    request.prompt = fitting_prompt();
    request.sequence_ids = {next_id_++};
    request.max_new_tokens = options_.max_new_tokens;
    request.sampling = options_.sampling;
    request.seed = options_.seed;
    request.stop_tokens = actors::stop_tokens_of(*model_, *tokens_.get());
    if (const auto end = tokens_.end_of_turn_token()) {
      request.stop_tokens.push_back(*end);
    }
    answer_printer printer(*tokens_.get(), stops_);
    request.stop = [&](std::span<const int32_t> ids) { return printer.push(ids.back()); };
    engine::generator generator(model_->net, model_->weights.data(),
                                generator_for(model_->net.description(), 1, static_cast<int64_t>(request.prompt.size()),
                                              options_.max_new_tokens));
    engine::generate_all(ctx_, generator, {std::move(request)});
    return printer.finish();
  }

  /// The conversation's ids, without its oldest exchanges where they leave no room for an answer.
  std::vector<int32_t> fitting_prompt() {
    const int64_t room = std::max<int64_t>(1, model_->net.description().max_positions - options_.max_new_tokens);
    for (;;) {
      auto ids = tokens_.encode_rendered(tokens_.format().render(turns_, true));
      if (static_cast<int64_t>(ids.size()) <= room) {
        return ids;
      }
      if (turns_.size() < 3) {
        throw error(errc::bad_argument,
                    "the message takes {} tokens, and only {} fit beside an answer of {}: make it "
                    "shorter, or lower --max-new-tokens",
                    ids.size(), room, options_.max_new_tokens);
      }
      turns_.erase(turns_.begin(), turns_.begin() + 2);
      std::cerr << "(the oldest exchange no longer fits and is forgotten)\n";
    }
  }

  sampling_options options_;
  thread_pool pool_;
  context ctx_{pool_};
  actors::model_ptr model_;
  lazy_tokenizer tokens_;
  std::vector<std::string> stops_;
  std::vector<io::chat_message> turns_;
  uint64_t next_id_ = 0;
  int64_t told_ = 0;  // of the special tokens that were spelled out
};

/// False to leave.
bool obey(const std::string& line, conversation& talk) {
  if (line == "/quit") {
    return false;
  }
  if (line == "/clear") {
    talk.clear();
    std::cerr << "(forgotten)\n";
  } else if (line[0] == '/') {
    std::cerr << "/clear forgets the conversation, /quit leaves\n";
  } else {
    try {
      talk.say(line);
    } catch (const error& problem) {
      std::cerr << "troupe chat: " << printable(problem.what()) << '\n';
    }
  }
  return true;
}

}  // namespace

int chat_command(int argc, char** argv) {
  sampling_options sampling;
  io::chat_settings chat;
  po::options_description options("Options");
  add_sampling_options(options, sampling);
  add_chat_options(options, chat);
  po::variables_map values;
  if (!parse_arguments(argc, argv, usage, options, {"DIR"}, values)) {
    return exit_ok;
  }
  check_sampling_options(sampling);
  conversation talk(required_argument(values, "DIR"), sampling, chat);
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  if (terminal) {
    fmt::print(stderr, "Chat format {}. /clear forgets, /quit leaves.\n", talk.format());
  }
  std::string line;
  for (;;) {
    if (terminal) {
      std::cerr << "> " << std::flush;
    }
    if (!std::getline(std::cin, line)) {
      return exit_ok;
    }
    if (!line.empty() && !obey(line, talk)) {
      return exit_ok;
    }
  }
}

}  // namespace troupe
