// Assignments into the job's fields; and what to say of those that fit nowhere.
#include "base/near_names.hpp"
#include "io/job/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace troupe::io {

namespace {

/// A name taken apart: "data.stories.path" is section "data.*", entry "stories", key "path".
struct place {
  std::string section, entry, key;
};

}  // namespace

static bool is_section(std::string_view name) {
  const auto sections = job_sections();
  return std::any_of(sections.begin(), sections.end(), [&](const section_help& s) { return s.name == name; });
}

static bool is_option(std::string_view section, std::string_view key) {
  const auto& options = job_options();
  return std::any_of(options.begin(), options.end(),
                     [&](const option& row) { return row.section == section && row.key == key; });
}

/// Of a whole key, or (with an empty key) of a section's header. [data] is a section beside [data.NAME].
static place take_apart(std::string_view name, bool header) {
  const size_t dot = name.find('.');
  const std::string head(name.substr(0, dot));
  const std::string tail(dot == std::string_view::npos ? "" : name.substr(dot + 1));
  const bool plain = header ? is_section(name) : is_option(head, tail);
  if (plain || !is_section(head + ".*")) {
    return header ? place{std::string(name), "", ""} : place{head, "", tail};
  }
  const size_t last = header ? tail.size() : std::min(tail.find('.'), tail.size());
  return {head + ".*", tail.substr(0, last), tail.substr(std::min(last + 1, tail.size()))};
}

static const option* find_option(const place& at) {
  for (const option& row : job_options()) {
    if (row.section == at.section && row.key == at.key) {
      return &row;
    }
  }
  return nullptr;
}

static std::vector<std::string_view> parts_of(std::string_view key) {
  std::vector<std::string_view> parts;
  while (!key.empty()) {
    const size_t end = std::min(key.find_first_of("-_"), key.size());
    parts.push_back(key.substr(0, end));
    key.remove_prefix(std::min(end + 1, key.size()));
  }
  return parts;
}

/// The word is one of the key's parts, or has the key as one of its own, "batch-size", or is short for its end, "lr".
static bool abbreviates(std::string_view word, std::string_view key) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> short_words{
      {{"lr", "learning-rate"}, {"wd", "weight-decay"}, {"bs", "batch"}, {"steps", "updates"}}};
  const auto has = [](const std::vector<std::string_view>& all, std::string_view one) {
    return std::find(all.begin(), all.end(), one) != all.end();
  };
  const auto* found =
      std::find_if(short_words.begin(), short_words.end(), [&](const auto& pair) { return pair.first == word; });
  return has(parts_of(key), word) || has(parts_of(word), key) ||
         (found != short_words.end() && key.ends_with(found->second));
}

/// Words of other programs for what a job calls otherwise.
static std::string_view translated(std::string_view word) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 12> words{{{"gpus", "place.ranks"},
                                                                                 {"gpu", "place.ranks"},
                                                                                 {"devices", "place.ranks"},
                                                                                 {"num-gpus", "place.ranks"},
                                                                                 {"nproc", "place.ranks"},
                                                                                 {"world-size", "place.ranks"},
                                                                                 {"output-dir", "run.dir"},
                                                                                 {"max-length", "length.max-tokens"},
                                                                                 {"model-name-or-path", "model.policy"},
                                                                                 {"beta", "ppo.kl-coef"},
                                                                                 {"rollouts", "ppo.prompts"},
                                                                                 {"zero-stage", "place.policy-zero"}}};
  const auto* found = std::find_if(words.begin(), words.end(), [&](const auto& pair) { return pair.first == word; });
  return found == words.end() ? std::string_view() : found->second;
}

static std::string joined_names(const std::vector<std::string>& names) {
  return names.size() < 2 ? names.front()
                          : fmt::format("{} or {}", fmt::join(names.begin(), names.end() - 1, ", "), names.back());
}

/// "; did you mean ...?", or what keys there are.
static std::string suggest_key(const place& at) {
  const auto named = [&](const std::string& key) {
    return option{.section = at.section, .key = key, .help = {}, .range = {}, .find = {}}.full_name(at.entry);
  };
  std::vector<std::string> same_section;
  std::vector<std::string> short_for;
  for (const option& row : job_options()) {
    if (row.section == at.section) {
      same_section.push_back(row.key);
      if (abbreviates(at.key, row.key)) {
        short_for.push_back(named(row.key));
      }
    } else if (row.key == at.key && !row.named()) {
      return fmt::format("; did you mean {}?", row.full_name(""));  // the right key in the wrong section
    }
  }
  if (const std::string near = near_name(at.key, same_section); !near.empty()) {
    return fmt::format("; did you mean {}?", named(near));
  }
  if (const std::string_view known = translated(at.key); !known.empty()) {
    return fmt::format("; did you mean {}?{}", known,
                       known == "place.ranks" ? " (Troupe runs on CPUs: a rank is a process)" : "");
  }
  constexpr size_t most_told = 6;
  if (!short_for.empty() && short_for.size() <= most_told) {
    return fmt::format("; did you mean {}?", joined_names(short_for));
  }
  return fmt::format(": [{}] has {}", at.section, fmt::join(same_section, ", "));
}

/// Of a key without its section: where it may belong.
static std::string suggest_home(const std::string& key) {
  std::vector<std::string> homes;
  for (const option& row : job_options()) {
    if (row.key == key || row.key.ends_with("-" + key)) {
      homes.push_back("--" + row.full_name("NAME"));
    }
  }
  constexpr size_t most_told = 6;
  return homes.empty() || homes.size() > most_told
             ? std::string("write --section.key value (`troupe run --help` lists all)")
             : fmt::format("did you mean {}?", joined_names(homes));
}

static std::string nearest(std::string_view word, const std::vector<std::string>& known) {
  const auto closer = [&](const std::string& a, const std::string& b) {
    return edit_distance(word, a) < edit_distance(word, b);
  };
  return *std::min_element(known.begin(), known.end(), closer);
}

static std::string suggest_section(const std::string& name) {
  std::vector<std::string> known;
  for (const section_help& s : job_sections()) {
    std::string text(s.name);
    if (text.ends_with("*")) {
      text.back() = 'N';
      text += "AME";
    }
    known.push_back(text);
  }
  return nearest(name, known);
}

namespace {

class applier {
public:
  applier(job& job, problem_list& problems) : job_(job), problems_(problems) {}

  void sections(const std::vector<assignment>& headers) {
    for (const assignment& header : headers) {
      const place at = take_apart(header.name, true);
      if (known_section(at, header.where) && at.section.ends_with(".*")) {
        enter(at, header.where);
      }
    }
  }

  /// All values of one key, in order.
  void values(const std::string& name, const std::vector<assignment>& given) {
    const place at = take_apart(name, false);
    const std::string& where = given.front().where;
    if (name.find('.') == std::string::npos && !is_section(name)) {
      problems_.push_back(fmt::format("{}: {} = {}: a key without its section: {}", where, name, given.front().value,
                                      suggest_home(name)));
      return;
    }
    if (!known_section(at, where)) {
      return;
    }
    if (at.section.ends_with(".*") && at.key.empty()) {
      const std::string base = at.section.substr(0, at.section.size() - 2);
      problems_.push_back(fmt::format("{}: {} = {}: [{}] has no such key; sets have sections with names: [{}.mine]",
                                      where, name, given.front().value, base, base));
      return;
    }
    const option* row = find_option(at);
    if (row == nullptr) {
      problems_.push_back(
          fmt::format("{}: {} = {}: there is no such key{}", where, name, given.front().value, suggest_key(at)));
      return;
    }
    if (row->named() && !enter(at, where)) {
      return;
    }
    set(*row, at, name, given);
  }

private:
  bool known_section(const place& at, const std::string& where) {
    if (is_section(at.section)) {
      return true;
    }
    const auto [unused, first] = unknown_.emplace(at.section, true);
    if (first) {
      problems_.push_back(fmt::format("{}: there is no section [{}]; did you mean [{}]?", where, at.section,
                                      suggest_section(at.section)));
    }
    return false;
  }

  /// Makes the entry of a section with names, if its name is one.
  bool enter(const place& at, const std::string& where) {
    if (at.entry.empty() || at.entry.find('.') != std::string::npos) {
      const std::string base = at.section.substr(0, at.section.size() - 2);
      problems_.push_back(fmt::format("{}: [{}{}{}]: a name without dots must follow {}, as in [{}.mine]", where, base,
                                      at.entry.empty() ? "" : ".", at.entry, base, base));
      return false;
    }
    ensure_entry(job_, at.section, at.entry);
    return true;
  }

  void set(const option& row, const place& at, const std::string& name, const std::vector<assignment>& given) {
    const field target = row.find(job_, at.entry);
    const bool list =
        std::holds_alternative<std::vector<std::string>*>(target) || std::holds_alternative<choice_list_field>(target);
    if (!list && given.size() > 1) {
      problems_.push_back(fmt::format("{}: {} = {}: was given before at {} as {}; keep one", given[1].where, name,
                                      given[1].value, given[0].where, given[0].value));
      return;
    }
    std::vector<std::string> texts;
    texts.reserve(given.size());
    for (const assignment& one : given) {
      texts.push_back(one.value);
    }
    const std::vector<std::string> before = write_field(target);
    const std::string wrong = read_field(target, row.range, texts);
    if (!wrong.empty()) {
      read_field(target, row.range, before);  // so that the checks of combinations meet sane values
      problems_.push_back(fmt::format("{}: {} = {}: {}", given.front().where, name, fmt::join(texts, ", "), wrong));
    }
  }

  job& job_;
  problem_list& problems_;
  std::map<std::string, bool> unknown_;
};

/// Values by key, keys in the order of their first appearance.
class grouped {
public:
  void add(const assignment& one) {
    const auto [found, first] = index_.emplace(one.name, groups_.size());
    if (first) {
      groups_.emplace_back();
    }
    groups_[found->second].push_back(one);
  }

  bool has(const std::string& name) const { return index_.count(name) > 0; }
  const std::vector<std::vector<assignment>>& groups() const { return groups_; }

private:
  std::map<std::string, size_t> index_;
  std::vector<std::vector<assignment>> groups_;
};

}  // namespace

void apply(const parsed_text& file, std::span<const assignment> overrides, job& job, problem_list& problems) {
  grouped from_line, from_file;
  for (const assignment& one : overrides) {
    from_line.add(one);
  }
  for (const assignment& one : file.assignments) {
    if (!from_line.has(one.name)) {
      from_file.add(one);
    }
  }
  applier to(job, problems);
  to.sections(file.sections);
  for (const grouped* all : {&from_file, &from_line}) {
    for (const auto& group : all->groups()) {
      to.values(group.front().name, group);
    }
  }
}

}  // namespace troupe::io
