/// The one table of options that parsing, validation, help, the resolved job file and the
/// documentation share. Internal to io: others use io/job/job.hpp.
#pragma once

#include "io/job/job.hpp"
#include "io/job/phase_rules.hpp"

#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace troupe::io {

/// The words of an enumeration, in the order of its values.
template <class Enum> std::span<const std::string_view> words_of();

/// A field that holds one of a few words, whatever its enumeration.
struct choice_field {
  void* value = nullptr;
  std::span<const std::string_view> words;
  size_t (*get)(const void*) = nullptr;
  void (*set)(void*, size_t) = nullptr;
};

struct choice_list_field {
  void* value = nullptr;
  std::span<const std::string_view> words;
  std::vector<size_t> (*get)(const void*) = nullptr;
  void (*set)(void*, const std::vector<size_t>&) = nullptr;
};

using field = std::variant<bool*, int64_t*, uint64_t*, double*, std::string*, std::vector<std::string>*, rank_list*,
                           choice_field, choice_list_field>;

/// Of a number: low <= x <= high, or strictly where open.
struct limits {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool open_low = false;
  bool open_high = false;
  bool infinite = false;  ///< inf and -inf are values too

  bool contain(double x) const;
  std::string text() const;  ///< "at least 1", "0 < x <= 1"; empty: any
};

inline limits at_least(double low) { return {.low = low}; }
inline limits more_than(double low) { return {.low = low, .open_low = true}; }
inline limits between(double low, double high) { return {.low = low, .high = high}; }

/// Of a rollout: what fits into a sequence's id (make_sequence_id in actors/protocol/rank_data.hpp).
inline constexpr double most_prompts = 1 << 20, most_samples = 1 << 12;

enum class text_kind {
  plain,
  line,        ///< may stand in a script: no control characters
  path,        ///< a line, relative to the job file's folder
  run_folder,  ///< a line, relative to the current folder
};

struct option {
  std::string section;  ///< "ppo"; "data.*" where any name may follow
  std::string key;
  std::string help;
  limits range;
  text_kind text = text_kind::plain;
  bool numbers = true;      ///< does it influence the numbers that a run produces?
  phase_rule of = nullptr;  ///< of which phases; null: of those of its section
  bool lengthens = false;   ///< it says how long a phase is
  std::function<field(job&, const std::string& name)> find;

  bool named() const { return section.ends_with(".*"); }
  std::string full_name(const std::string& name) const;  ///< "data.stories.path"
};

/// In the order in which they are written and documented.
const std::vector<option>& job_options();

struct section_help {
  std::string_view name;
  std::string_view help;
  phase_rule of = nullptr;  ///< the phases whose numbers its options influence, those that name no others
};
std::span<const section_help> job_sections();

/// Whether the numbers of a phase depend on an option.
bool goes_by(const job& job, const option& row, const std::string& name, phase of);

/// Names of the entries of a section with names ("data.*"); one empty name for any other.
std::vector<std::string> entry_names(const job& job, const std::string& section);
/// Makes the entry if it is not there.
void ensure_entry(job& job, const std::string& section, const std::string& name);

/// Gets an option of an entry, and where its value is.
using option_visitor = std::function<void(const option& row, const std::string& name, const field& value)>;

/// Calls with each option of each entry, section by section, in the table's order.
void visit_job(const job& job, const option_visitor& visit);

// --- one value

/// What may be written: "integer, at least 1", "end | span".
std::string value_domain(const option& option);
/// Of a job's field as an INI file has it; a list has several (none: one empty text).
std::vector<std::string> write_field(const field& field);
/// The same in one text, by which two jobs are compared: of a path the last component, since a run may move.
std::string compared_text(const option& row, const field& value);
/// Empty on success, else what is wrong: "is not an integer".
std::string read_field(const field& field, const limits& range, std::span<const std::string> values);

/// Text in double quotes with escapes, where it needs them.
std::string quote_text(std::string_view text);
/// Quotes and escapes resolved. False: malformed.
bool unquote_text(std::string_view written, std::string& text);

// --- where values come from

struct assignment {
  std::string name;   ///< "ppo.clip"
  std::string value;  ///< as written
  std::string where;  ///< "job.ini:12", "command line"
};

struct parsed_text {
  std::vector<assignment> assignments;
  std::vector<assignment> sections;  ///< headers: name and where
};

using problem_list = std::vector<std::string>;

parsed_text parse_ini(std::string_view text, const std::string& name, problem_list& problems);
std::vector<assignment> parse_overrides(std::span<const std::string> words, problem_list& problems);

/// Sets the job's fields; unknown names, bad values and repetitions become problems.
void apply(const parsed_text& file, std::span<const assignment> overrides, job& job, problem_list& problems);

/// A job as its text and the command line have it, with paths from where they start. Not held against itself.
job read_options(std::string_view text, const job_origin& origin, std::span<const std::string> overrides,
                 problem_list& problems);

/// Combinations of options. Fills in the default reward source.
void check_job(job& job, problem_list& problems);
/// Of the reward sources alone, which a job without them gets too.
void check_reward_sources(job& job, problem_list& problems);
/// Files and folders that the job names.
void check_files(const job& job, problem_list& problems);
/// Those of the reward sources alone.
void check_reward_files(const job& job, problem_list& problems);
/// Errors  bad_argument, with all of them; none where there are none.
void throw_if_any(const problem_list& problems, const std::string& name);

}  // namespace troupe::io
