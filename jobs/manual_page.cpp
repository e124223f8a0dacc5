#include "jobs/manual_page.hpp"

#include <fmt/format.h>

#include <cctype>
#include <string_view>

namespace troupe {

/// Text that stands in a line of man(7) as it is.
static std::string escaped(std::string_view text) {
  std::string out;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && (c == '.' || c == '\'')) {
      out += "\\&";
    }
    out += c == '\\' ? "\\e" : c == '-' ? "\\-" : c == '\'' ? "\\(aq" : c == '`' ? "\\(ga" : std::string(1, c);
    line_begins = c == '\n';
  }
  return out;
}

/// As it is set on a terminal, without an empty end.
static std::string as_printed(std::string text) {
  text.erase(text.find_last_not_of('\n') + 1);
  return fmt::format(".PP\n.nf\n{}\n.fi\n", escaped(text));
}

std::string manual_page(std::span<const command_help> commands) {
  std::string page = fmt::format(
      ".\\\" Written by `troupe manual` from what each command says with --help.\n"
      ".TH TROUPE 1 \"\" \"troupe {}\" \"User Commands\"\n"
      ".SH NAME\ntroupe \\- RLHF for language models in one program\n"
      ".SH SYNOPSIS\n.B troupe\n.I COMMAND\n[options]\n"
      ".SH DESCRIPTION\nSupervised fine\\-tuning, reward model, PPO and chat. Models, data loaders and optimizers are "
      "actors that pass messages; a supervisor restarts whatever dies from the last checkpoint, and the run ends with "
      "the same bytes as one in which nothing died.\n"
      ".SH COMMANDS\n",
      escaped(TROUPE_VERSION));
  for (const command_help& command : commands) {
    page += fmt::format(".TP\n.B {}\n{}\n", escaped(command.name), escaped(command.summary));
  }
  for (const command_help& command : commands) {
    std::string title = "troupe " + command.name;
    for (char& c : title) {
      c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    page += fmt::format(".SH {}\n{}", escaped(title), as_printed(command.text));
  }
  return page;
}

}  // namespace troupe
