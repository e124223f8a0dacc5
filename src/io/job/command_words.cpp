#include "io/job/command_words.hpp"

#include "base/error.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace troupe::io {

namespace fs = std::filesystem;

std::vector<std::string> command_words(std::string_view command) {
  std::vector<std::string> words;
  bool within_word = false;
  for (size_t i = 0; i < command.size(); ++i) {
    if (command[i] == ' ' || command[i] == '\t') {
      within_word = false;
      continue;
    }
    if (!within_word) {
      words.emplace_back();
      within_word = true;
    }
    if (command[i] != '\'') {
      words.back() += command[i];
      continue;
    }
    const size_t end = command.find('\'', i + 1);
    if (end == std::string_view::npos) {
      throw error(errc::bad_argument, "the single quote before \"{}\" does not end", command.substr(i + 1));
    }
    words.back() += command.substr(i + 1, end - i - 1);
    i = end;
  }
  return words;
}

static bool may_run(const fs::path& file) {
  std::error_code ignored;
  return fs::is_regular_file(file, ignored) && ::access(file.c_str(), X_OK) == 0;
}

fs::path find_program(const std::string& program, const fs::path& folder) {
  if (program.find('/') != std::string::npos) {
    const fs::path file = folder / program;
    return may_run(file) ? file : fs::path();
  }
  const char* known = std::getenv("PATH");
  std::string_view rest = known == nullptr ? "/bin:/usr/bin" : known;
  while (!rest.empty() && !program.empty()) {
    const size_t end = std::min(rest.find(':'), rest.size());
    if (const fs::path file = fs::path(rest.substr(0, end)) / program; may_run(file)) {
      return file;
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return {};
}

}  // namespace troupe::io
