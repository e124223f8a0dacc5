// From bytes to assignments. Boost.Program_options reads the INI text and the command line; what it
// lacks is done to the text before: line numbers, comments after ';', '#' inside values, and going
// on after a bad line.
#include "base/error.hpp"
#include "io/files/byte_order_mark.hpp"
#include "io/job/options.hpp"
#include "io/tokenizer/utf8.hpp"

#include <boost/program_options/cmdline.hpp>
#include <boost/program_options/parsers.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <sstream>

namespace troupe::io {

namespace options = boost::program_options;

static std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

static bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
}

/// Where a comment begins: at a '#' or ';' that is first or follows a space.
static size_t find_comment(std::string_view text, size_t from) {
  for (size_t i = from; i < text.size(); ++i) {
    if ((text[i] == '#' || text[i] == ';') && (i == 0 || text[i - 1] == ' ' || text[i - 1] == '\t')) {
      return i;
    }
  }
  return text.size();
}

/// The value without its comment. Empty and false when a quoted text does not end.
static bool cut_comment(std::string_view text, std::string_view& value) {
  if (text.empty() || text.front() != '"') {
    value = trim(text.substr(0, find_comment(text, 0)));
    return true;
  }
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      value = text.substr(0, i + 1);
      const std::string_view rest = text.substr(i + 1);
      return trim(rest.substr(0, find_comment(rest, 0))).empty();
    }
  }
  return false;
}

/// Boost's reader takes every '#' for a comment: quoted texts hide theirs, others become quoted.
static std::string hide_hash(std::string_view value) {
  if (value.find('#') == std::string_view::npos) {
    return std::string(value);
  }
  if (value.front() != '"') {
    return quote_text(value);
  }
  std::string out;
  for (size_t i = 0; i < value.size(); ++i) {
    const bool escape = value[i] == '\\' && i + 1 < value.size();
    if (escape && value[i + 1] == '#') {
      out += "\\?";  // an escape that does not exist; still none once the '#' is hidden
      ++i;
    } else if (escape) {
      out += value.substr(i, 2);
      ++i;
    } else {
      out += value[i] == '#' ? std::string("\\x23") : std::string(1, value[i]);
    }
  }
  return out;
}

namespace {

/// Line after line, gathers the clean text for Boost and remembers where each assignment stood.
struct ini_cleaner {
  const std::string& name;
  problem_list& problems;
  std::string clean;
  std::vector<std::string> places;
  std::vector<assignment> sections;

  void take(std::string_view line, int64_t number) {
    const std::string_view text = trim(line);
    const std::string where = fmt::format("{}:{}", name, number);
    if (text.empty() || text.front() == '#' || text.front() == ';') {
      return;
    }
    if (text.front() == '[') {
      take_header(text, where);
    } else {
      take_assignment(text, where);
    }
  }

  void take_header(std::string_view text, const std::string& where) {
    const std::string_view header = trim(text.substr(0, find_comment(text, 0)));
    const std::string_view inner = header.substr(1, header.size() - std::min<size_t>(header.size(), 2));
    if (header.back() != ']' || !is_name(inner) || inner.back() == '.') {
      problems.push_back(fmt::format("{}: \"{}\" is no section: write [name]", where, text));
      return;
    }
    sections.push_back({std::string(inner), "", where});
    clean += fmt::format("[{}]\n", inner);
  }

  void take_assignment(std::string_view text, const std::string& where) {
    const size_t equals = text.find('=');
    const std::string_view key = trim(text.substr(0, std::min(equals, text.size())));
    if (equals == std::string_view::npos || !is_name(key)) {
      problems.push_back(fmt::format("{}: \"{}\" is neither [section] nor key = value", where, text));
      return;
    }
    std::string_view value;
    if (!cut_comment(trim(text.substr(equals + 1)), value)) {
      problems.push_back(fmt::format("{}: {}: the text in quotes does not end, or more follows it: \"{}\"", where, key,
                                     trim(text.substr(equals + 1))));
      return;
    }
    clean += fmt::format("{} = {}\n", key, hide_hash(value));
    places.push_back(where);
  }
};

}  // namespace

static std::vector<options::option> read_with_boost(const std::string& clean) {
  std::istringstream stream(clean);
  const options::options_description none;
  const bool allow_unregistered = true;  // unknown keys are reported all at once, with suggestions
  return options::parse_config_file(stream, none, allow_unregistered).options;
}

/// Why a file cannot be a job file; empty: it can.
static std::string no_job_text(std::string_view text) {
  constexpr size_t max_bytes = 1 << 20;
  if (text.size() > max_bytes) {
    return "it is longer than 1 MiB";
  }
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    return "it is UTF-16: save it as UTF-8";
  }
  if (const size_t at = text.find('\0'); at != std::string_view::npos) {
    return fmt::format("byte {} is 0, which no text has", at + 1);
  }
  if (const auto at = find_invalid_utf8(text)) {
    return fmt::format("byte {} is not UTF-8: save it as UTF-8", *at + 1);
  }
  return "";
}

parsed_text parse_ini(std::string_view text, const std::string& name, problem_list& problems) {
  if (const std::string reason = no_job_text(text); !reason.empty()) {
    throw error(errc::bad_argument, "{} is no job file: {}", name, reason);
  }
  text = without_byte_order_mark(text);
  ini_cleaner cleaner{name, problems, {}, {}, {}};
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    cleaner.take(text.substr(begin, end - begin), ++number);
    begin = end + 1;
  }
  parsed_text out;
  out.sections = std::move(cleaner.sections);
  const auto read = read_with_boost(cleaner.clean);
  for (size_t i = 0; i < read.size(); ++i) {
    out.assignments.push_back({read[i].string_key, read[i].value.front(), cleaner.places.at(i)});
  }
  return out;
}

static options::options_description command_line_description() {
  options::options_description all;
  std::string last;
  for (const option& row : job_options()) {
    const std::string name = row.named() ? row.section : row.section + "." + row.key;
    if (name != last) {  // a section with names is one entry, "data.*"
      all.add_options()(name.c_str(), options::value<std::string>(), "");
    }
    last = name;
  }
  return all;
}

std::vector<assignment> parse_overrides(std::span<const std::string> words, problem_list& problems) {
  namespace style = options::command_line_style;
  static const options::options_description known = command_line_description();
  std::vector<assignment> out;
  const std::vector<std::string> list(words.begin(), words.end());
  try {
    const auto parsed = options::command_line_parser(list)
                            .options(known)
                            .allow_unregistered()
                            .style(style::allow_long | style::long_allow_adjacent | style::long_allow_next)
                            .run();
    bool value_of_unknown = false;
    for (const options::option& o : parsed.options) {
      if (o.position_key >= 0) {
        if (value_of_unknown) {
          out.back().value = o.value.front();
        } else {
          problems.push_back(fmt::format("command line: \"{}\" belongs to no option: write --section.key value",
                                         fmt::join(o.value, " ")));
        }
        value_of_unknown = false;
        continue;
      }
      value_of_unknown = o.unregistered && o.value.empty();
      out.push_back({o.string_key, o.value.empty() ? "" : o.value.front(), "command line"});
    }
  } catch (const options::error& e) {
    problems.push_back(fmt::format("command line: {}", e.what()));
  }
  return out;
}

}  // namespace troupe::io
