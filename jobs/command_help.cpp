#include "jobs/command_help.hpp"

#include "actors/hosts/child_process.hpp"
#include "jobs/commands.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <regex>
#include <sstream>
#include <utility>

namespace troupe {

namespace {

void add(std::vector<option_help>& options, option_help found) {
  if (found.value == "arg") {
    found.value = "VALUE";  // Boost's word where a command has no better one
  }
  const auto known = [&](const option_help& other) { return other.name == found.name; };
  if (std::none_of(options.begin(), options.end(), known)) {
    options.push_back(std::move(found));
  }
}

/// "troupe eval DIR --data FILE [options]": what is neither an option, nor its value, nor in brackets.
void read_call(const std::string& line, command_help& help) {
  help.job_options = line.find("[--section.key ") != std::string::npos;
  static const std::regex option(R"((--[a-z-]+)(?![a-z.-])(?: ([A-Z]+))?)");  // not --section.key
  for (std::sregex_iterator found(line.begin(), line.end(), option), end; found != end; ++found) {
    add(help.options, {.name = (*found)[1], .value = (*found)[2], .text = ""});
  }
  std::istringstream words(
      std::regex_replace(line.substr(0, line.find(" <")), std::regex(R"(\[[^\]]*\]|--\S+ \S+)"), ""));
  std::string word;
  words >> word >> word;  // troupe, the command
  while (words >> word &&
         (std::isupper(static_cast<unsigned char>(word[0])) != 0 || word.find('|') != std::string::npos)) {
    word.erase(word.find_last_not_of(".:,") + 1);
    help.arguments.push_back(word);
  }
}

/// "  --top-k arg (=0)   sample from ...", "  -h [ --help ]   this text", "  --partition P, --account A".
void read_option_line(const std::string& line, std::vector<option_help>& options) {
  static const std::regex option(R"((?:-\w \[ )?(--[a-z][A-Za-z.-]*)(?: \])?(?: (arg|[A-Z][A-Z-]*|[^ |]+\|[^ ]+))?)"
                                 R"((?: \(=[^)]*\))?(, )?)");
  std::vector<option_help> found;
  auto at = line.cbegin() + 2;
  std::smatch part;
  while (std::regex_search(at, line.cend(), part, option, std::regex_constants::match_continuous)) {
    found.push_back({.name = part[1], .value = part[2], .text = ""});
    at = part[0].second;
    if (!part[3].matched) {
      break;
    }
  }
  const std::string rest(at, line.cend());
  const size_t text = rest.find_first_not_of(' ');
  for (option_help& one : found) {
    one.text = text == std::string::npos ? "" : rest.substr(text);
    add(options, std::move(one));
  }
}

}  // namespace

command_help read_help(std::string_view name, std::string_view summary, std::string text) {
  command_help help{
      .name = std::string(name), .summary = std::string(summary), .text = {}, .arguments = {}, .options = {}};
  std::istringstream lines(text);
  std::string line;
  std::getline(lines, line);
  read_call(line, help);
  while (std::getline(lines, line)) {
    if (line.starts_with("  --") || line.starts_with("  -h ")) {
      read_option_line(line, help.options);
    }
  }
  add(help.options, {.name = "--help", .value = "", .text = "this text"});  // not every help names itself
  // Those of a job are known better from their own table; most commands leave them out of their help.
  std::erase_if(help.options, [](const option_help& one) { return one.name.find('.') != std::string::npos; });
  help.text = std::move(text);
  return help;
}

std::vector<command_help> help_of_commands() {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  std::vector<command_help> all;
  for (const command& listed : commands()) {
    if (listed.summary != nullptr) {
      all.push_back(read_help(listed.name, listed.summary, actors::output_of({program, listed.name, "--help"})));
    }
  }
  return all;
}

}  // namespace troupe
