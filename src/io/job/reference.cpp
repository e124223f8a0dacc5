// The table of options as help, as a list and as documentation.
#include "io/job/option_list.hpp"
#include "io/job/options.hpp"

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/value_semantic.hpp>
#include <fmt/format.h>

#include <sstream>

namespace troupe::io {

namespace options = boost::program_options;

static std::string placeholder(std::string_view section) {
  std::string text(section);
  if (text.ends_with("*")) {
    text.replace(text.size() - 1, 1, "NAME");
  }
  return text;
}

static std::string default_text(const option& row) {
  job fresh;
  return fmt::format("{}", fmt::join(write_field(row.find(fresh, "x")), ", "));
}

static std::vector<std::string> choices_of(const option& row) {
  job scratch;
  const field value = row.find(scratch, "x");
  if (std::holds_alternative<bool*>(value)) {
    return {"true", "false"};
  }
  std::span<const std::string_view> words;
  if (const auto* choice = std::get_if<choice_field>(&value)) {
    words = choice->words;
  } else if (const auto* choices = std::get_if<choice_list_field>(&value)) {
    words = choices->words;
  }
  return {words.begin(), words.end()};
}

std::vector<listed_option> list_job_options() {
  std::vector<listed_option> out;
  for (const option& row : job_options()) {
    const std::string fallback = default_text(row);
    out.push_back(
        {.section = placeholder(row.section),
         .key = row.key,
         .help = fmt::format("{} ({}{})", row.help, value_domain(row), fallback.empty() ? "" : "; " + fallback),
         .words = choices_of(row),
         .path = row.text == text_kind::path || row.text == text_kind::run_folder});
  }
  return out;
}

std::string job_help() {
  std::ostringstream out;
  constexpr unsigned line_length = 100;
  const std::vector<listed_option> all = list_job_options();
  for (const section_help& section : job_sections()) {
    const std::string name = placeholder(section.name);
    options::options_description group(fmt::format("[{}] {}", name, section.help), line_length);
    for (const listed_option& row : all) {
      if (row.section == name) {
        auto* value = options::value<std::string>()->value_name("X");
        group.add_options()(row.name().c_str(), value, row.help.c_str());
      }
    }
    out << group << "\n";
  }
  return out.str();
}

static std::string in_cell(std::string text) {
  for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) {
    text.insert(at, "\\");
  }
  return text;
}

static constexpr const char* introduction =
    R"(# Job files

A job file says everything about a run. It is an INI file; every key can also be given on the command line as
`--section.key value`, which wins over the file. This page is written by the program's own table of options
(`TROUPE_WRITE_REFERENCE=1 io_job_reference_test`), and a test compares the two.

- A list is a repeated key; a list of words may also stand in one line: `phases = sft reward ppo`.
- A text that starts with a double quote ends with one; between them `\n \t \r \" \\ \xHH` are escapes.
- `;` and `#` at the start of a line or after a space begin a comment.
- Relative paths are relative to the job file's folder, `run.dir` to the current folder.
- Unknown sections and keys are errors. All errors are reported at once.
- `<run.dir>/job.ini` holds every option as the run used it, and is a job file itself.

Options marked * change the numbers of a run. Each belongs to some phases: those of its section, and where a section is
of no phase alone ([run], [model], [data.NAME], [length]) those that use it. Once one of these phases has begun the
option is held: resuming the run with another value is refused, and names it. Until then it may change, and phases may
be added ([data.md](data.md#one-phase-at-a-time) says whose prompts are whose). `iterations`, `updates` and `epochs` may
grow at any time where the phase's learning rates are constant.
)";

std::string job_reference() {
  std::string out = introduction;
  for (const section_help& section : job_sections()) {
    out += fmt::format("\n## [{}]\n\n{}\n\n| key | values | default | |\n|---|---|---|---|\n",
                       placeholder(section.name), section.help);
    for (const option& row : job_options()) {
      if (row.section == section.name) {
        const std::string fallback = default_text(row);
        out += fmt::format("| `{}`{} | {} | {} | {} |\n", row.key, row.numbers ? " *" : "", in_cell(value_domain(row)),
                           fallback.empty() ? "" : "`" + fallback + "`", in_cell(row.help));
      }
    }
  }
  return out;
}

}  // namespace troupe::io
