// troupe chat DIR: a conversation in the terminal.
#include "base/error.hpp"
#include "base/printable.hpp"
#include "io/files/atomic_file.hpp"
#include "jobs/arguments.hpp"
#include "jobs/chat_options.hpp"
#include "jobs/commands.hpp"
#include "jobs/conversation.hpp"
#include "jobs/line_editor.hpp"
#include "jobs/sampling_options.hpp"

#include <fmt/format.h>

#include <csignal>
#include <filesystem>
#include <iostream>
#include <iterator>

namespace troupe {

namespace {

namespace po = boost::program_options;

constexpr const char* usage =
    "troupe chat DIR [options]\n\n"
    "A conversation with the model in DIR, in its own chat format (plain Human/Assistant dialogue where it has none).\n"
    "At a terminal lines can be edited and called back, Ctrl-C ends an answer, Ctrl-D the conversation. Elsewhere\n"
    "each line of the input is a message. /help lists what else can be asked for.\n";

// Whether Ctrl-C was pressed while an answer came.
volatile std::sig_atomic_t interrupted = 0;

void note_interrupt(int) { interrupted = 1; }

class chat {
public:
  explicit chat(conversation& talk) : talk_(talk), spelled_(talk.spelled()) {}

  /// What the user typed, obeyed or answered. False to leave.
  bool take(const std::string& line);

  bool help(const std::string&);
  bool clear(const std::string&);
  bool retry(const std::string&);
  bool system(const std::string& text);
  bool save(const std::string& file) { return save_to(file, false); }
  bool save_over(const std::string& file) { return save_to(file, true); }
  bool quit(const std::string&) { return false; }

private:
  /// Prints the answer that `speak` has the conversation give.
  template <class Speak> void answer(const Speak& speak);
  bool save_to(const std::string& file, bool replace);
  bool obey(const std::string& line);

  conversation& talk_;
  int64_t spelled_;  ///< special tokens that messages spell out, of which the user has been told
};

struct chat_command_row {
  const char* name;
  const char* argument;
  bool (chat::*function)(const std::string& argument);
  const char* help;
};

constexpr chat_command_row chat_commands[] = {
    {"/help", "", &chat::help, "this list"},
    {"/retry", "", &chat::retry, "the last answer once more, by other random numbers (--temperature 0 has none)"},
    {"/clear", "", &chat::clear, "forgets what was said, but for the system message"},
    {"/system", "[TEXT]", &chat::system, "the system message from now on; without a text shows it; - takes it away"},
    {"/save", "FILE", &chat::save, "the conversation as a line of JSON, {\"messages\": ...}; never over another file"},
    {"/save!", "FILE", &chat::save_over, "the same, in that file's place where there is one"},
    {"/quit", "", &chat::quit, "leaves, as the end of input does"},
};

template <class Speak> void chat::answer(const Speak& speak) {
  interrupted = 0;
  const answer_sink sink{
      .show = [](std::string_view text) { std::cout << printable(text) << std::flush; },
      .enough = [] { return interrupted != 0; },
  };
  const int64_t forgotten = speak(sink);
  std::cout << std::endl;
  if (interrupted != 0) {
    std::cerr << "(interrupted; remembered as far as it came)\n";
  }
  if (forgotten > 0) {
    fmt::print(stderr, "({} no longer fit{} and {} forgotten)\n",
               forgotten == 1 ? "the oldest exchange" : fmt::format("the {} oldest exchanges", forgotten),
               forgotten == 1 ? "s" : "", forgotten == 1 ? "is" : "are");
  }
  tell_spelled_tokens("chat", talk_.spelled() - spelled_);
  spelled_ = talk_.spelled();
}

bool chat::help(const std::string&) {
  for (const chat_command_row& row : chat_commands) {
    fmt::print(stderr, "{:<15} {}\n", fmt::format("{} {}", row.name, row.argument), row.help);
  }
  std::cerr << "A message that begins with / has a space in front.\n";
  return true;
}

bool chat::clear(const std::string&) {
  talk_.clear();
  std::cerr << "(forgotten)\n";
  return true;
}

bool chat::retry(const std::string&) {
  answer([&](const answer_sink& sink) { return talk_.retry(sink); });
  return true;
}

bool chat::system(const std::string& text) {
  if (!text.empty()) {
    talk_.set_system(text == "-" ? "" : text);
  }
  std::cerr << (talk_.system().empty() ? "(no system message)" : "(system: " + printable(talk_.system()) + ")") << '\n';
  return true;
}

bool chat::save_to(const std::string& file, bool replace) {
  if (file.empty()) {
    throw error(errc::bad_argument, "/save needs the name of a file");
  }
  if (talk_.empty()) {
    throw error(errc::bad_argument, "nothing was said yet that could be saved");
  }
  if (!replace && std::filesystem::exists(file)) {
    throw error(errc::bad_argument, "{} is there already, and stays as it is: another name, or /save! to replace it",
                file);
  }
  io::write_file_atomically(file, talk_.as_json_line() + "\n");
  fmt::print(stderr, "(saved to {})\n", printable(file));
  return true;
}

/// A command and what follows it.
bool chat::obey(const std::string& line) {
  const size_t end = std::min(line.find(' '), line.size());
  const size_t text = std::min(line.find_first_not_of(' ', end), line.size());
  const std::string name = line.substr(0, end);
  const std::string argument = line.substr(text, line.find_last_not_of(" \t\r") + 1 - text);
  for (const chat_command_row& row : chat_commands) {
    if (name == row.name) {
      if (row.argument[0] == '\0' && !argument.empty()) {
        throw error(errc::bad_argument, "{} takes nothing after it", name);
      }
      return (this->*row.function)(argument);
    }
  }
  throw error(errc::bad_argument,
              "there is no command {}: /help lists them; a message that begins with / has a space "
              "in front",
              name);
}

bool chat::take(const std::string& line) {
  try {
    if (line.starts_with('/')) {
      return obey(line);
    }
    if (line.find_first_not_of(" \t\r") != std::string::npos) {
      const std::string text = line.starts_with(" /") ? line.substr(1) : line;
      answer([&](const answer_sink& sink) { return talk_.say(text, sink); });
    }
  } catch (const error& problem) {
    std::cerr << "troupe chat: " << printable(problem.what()) << '\n';
  }
  return true;
}

/// At a terminal: until the user leaves.
void converse(chat& with) {
  line_editor editor("> ");
  struct sigaction end_of_answer {};
  end_of_answer.sa_handler = note_interrupt;
  end_of_answer.sa_flags = SA_RESTART;  // or a write that it meets would be a failure of the output
  ::sigaction(SIGINT, &end_of_answer, nullptr);
  std::string line;
  bool leaving = false;  // Ctrl-C was the last key, on an empty line
  for (;;) {
    const typed what = editor.read(line);
    if (what == typed::end) {
      return;
    }
    if (what == typed::cancelled) {
      if (line.empty() && leaving) {
        return;
      }
      leaving = line.empty();
      if (leaving) {
        std::cerr << "(once more, or Ctrl-D, to leave)\n";
      }
      continue;
    }
    leaving = false;
    if (!with.take(line)) {
      return;
    }
  }
}

}  // namespace

int chat_command(int argc, char** argv) {
  sampling_options sampling;
  io::chat_settings format;
  std::string system;
  po::options_description options("Options");
  add_sampling_options(options, sampling);
  add_chat_options(options, format);
  options.add_options()("system", po::value(&system), "a system message, before all others");
  po::variables_map values;
  if (!parse_arguments(argc, argv, usage, options, {"DIR"}, values)) {
    return exit_ok;
  }
  check_sampling_options(sampling);
  conversation talk(required_argument(values, "DIR"), sampling, format, system);
  chat with(talk);
  if (line_editor::possible()) {
    fmt::print(stderr, "Chat format {}. /help lists commands; Ctrl-C ends an answer, Ctrl-D the conversation.\n",
               talk.format());
    converse(with);
    return exit_ok;
  }
  for (std::string line; std::getline(std::cin, line);) {
    if (!with.take(line)) {
      break;
    }
  }
  return exit_ok;
}

}  // namespace troupe
