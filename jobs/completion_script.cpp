#include "jobs/completion_script.hpp"

#include "io/chat/named_formats.hpp"
#include "jobs/shell.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe {

namespace {

/// What may be typed for a value: words, files, both, or anything.
struct value_choice {
  std::vector<std::string> words;
  bool files = false;
  bool operator==(const value_choice&) const = default;
};

/// By what the help calls it: "f32|bf16|f16"; FILE, DIR, PATH; FORMAT, of data; TEMPLATE, of conversations.
value_choice choice_of(const std::string& value, std::span<const io::listed_option> job) {
  if (value.find('|') != std::string::npos) {
    value_choice choice;
    for (size_t begin = 0; begin <= value.size();) {
      const size_t end = std::min(value.find('|', begin), value.size());
      choice.words.push_back(value.substr(begin, end - begin));
      begin = end + 1;
    }
    return choice;
  }
  if (value == "FORMAT") {
    const auto* row =
        &*std::find_if(job.begin(), job.end(), [](const auto& one) { return one.name() == "data.NAME.format"; });
    return {.words = row->words};
  }
  if (value == "TEMPLATE") {
    const auto names = io::chat_format_names();
    return {.words = {names.begin(), names.end()}, .files = true};
  }
  return {.words = {}, .files = value == "FILE" || value == "DIR" || value == "PATH"};
}

/// A pattern of the shells' case, and what to do there.
struct value_case {
  std::string pattern;  ///< "*--ppo.kl-in | eval--loss"
  value_choice choice;
};

/// Of every option that takes a value: those of commands as COMMAND--NAME, those of jobs by their name alone. Options
/// that take the same share a case.
std::vector<value_case> value_cases(std::span<const command_help> commands, std::span<const io::listed_option> job) {
  std::vector<value_case> cases;
  const auto add = [&](const std::string& pattern, value_choice choice) {
    const auto same = std::find_if(cases.begin(), cases.end(), [&](const auto& one) { return one.choice == choice; });
    if (same == cases.end()) {
      cases.push_back({pattern, std::move(choice)});
    } else {
      same->pattern += " | " + pattern;
    }
  };
  for (const command_help& command : commands) {
    for (const option_help& option : command.options) {
      if (!option.value.empty()) {
        add(command.name + option.name, choice_of(option.value, job));
      }
    }
  }
  for (const io::listed_option& option : job) {
    add("*--" + option.name(), {.words = option.words, .files = option.path});
  }
  return cases;
}

std::string joined(const std::vector<std::string>& words, std::string_view between = " ") {
  return fmt::format("{}", fmt::join(words, between));
}

constexpr std::string_view bash_frame = R"bash(# Completes `troupe` in bash. Written by `troupe completion bash`.

# The options of a command's own.
_troupe_own() {
  case $1 in
@OWN@  esac
}

# What an option takes: words, FILES, or nothing that is known. $1: the command and the option's name.
_troupe_takes() {
  case $1 in
@TAKES@    *) return 1 ;;  # it takes nothing
  esac
}

_troupe_job_options='@JOB@'

# Sections of a job that may have any number of names, with their keys.
_troupe_keys() {
  case $1 in
@KEYS@  esac
}

# Options of such sections: of the names in the job file $1, and of the one in $2 that is being typed.
_troupe_named() {
  local section name key
  for section in @SECTIONS@; do
    for name in $(sed -n "s/^\[$section\.\([A-Za-z0-9_-]*\)\].*/\1/p" "$1" 2>/dev/null) \
      $([[ $2 =~ ^--$section\.([A-Za-z0-9_-]+)\. ]] && echo "${BASH_REMATCH[1]}"); do
      for key in $(_troupe_keys $section); do echo "--$section.$name.$key"; done
    done
  done
}

_troupe() {
  local word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} takes words
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '@COMMANDS@--help --version' -- "$word"))
    return
  fi
  # of --option=value bash makes three words
  if [[ $word == = ]]; then word=; elif [[ $option == = ]]; then option=${COMP_WORDS[COMP_CWORD - 2]}; fi
  if [[ $option =~ ^--(@SECTIONS_OR@)\.[^.]+\.(.+)$ ]]; then
    option=--${BASH_REMATCH[1]}.NAME.${BASH_REMATCH[2]}
  fi
  if [[ $option == --* ]] && takes=$(_troupe_takes "$command$option"); then
    COMPREPLY=($(compgen -W "${takes/FILES/}" -- "$word"))
    if [[ $takes == *FILES* ]]; then
      compopt -o filenames 2>/dev/null
      mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$word")
    fi
  elif [[ $word == -* ]]; then
    words=$(_troupe_own "$command")
    case $command in
      @WITH_JOBS@) words+=" $_troupe_job_options $(_troupe_named "${COMP_WORDS[2]}" "$word")" ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
  else
    compopt -o filenames 2>/dev/null
    case $command in
@ARGUMENTS@      *) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    esac
  fi
}

complete -F _troupe troupe
)bash";

constexpr std::string_view zsh_frame = R"zsh(#compdef troupe
# Completes `troupe` in zsh. Written by `troupe completion zsh`.

_troupe() {
  local command=$words[2] option=$words[CURRENT-1]
  local -a commands options match mbegin mend
  local MATCH MBEGIN MEND section name
  if ((CURRENT == 2)); then
    commands=(
@COMMANDS@    )
    _describe command commands
    return
  fi
  if [[ $PREFIX == --*=* ]]; then option=${PREFIX%%=*}; compset -P '*='; fi
  if [[ $option =~ '^--(@SECTIONS_OR@)\.[^.]+\.(.+)$' ]]; then option=--$match[1].NAME.$match[2]; fi
  case $command$option in
@TAKES@  esac
  if [[ $PREFIX != -* ]]; then
    case $command in
@ARGUMENTS@      *) _files ;;
    esac
    return
  fi
  case $command in
@OWN@  esac
  case $command in
    @WITH_JOBS@)
      options+=(
@JOB@      )
      for section in @SECTIONS@; do
        for name in ${(f)"$(sed -n "s/^\[$section\.\([A-Za-z0-9_-]*\)\].*/\1/p" ${(Q)words[3]} 2>/dev/null)"}; do
          case $section in
@KEYS@          esac
        done
      done
      ;;
  esac
  _describe option options
}

if [[ $funcstack[1] == _troupe ]]; then _troupe "$@"; else compdef _troupe troupe; fi
)zsh";

/// Of zsh's _describe: "name:what it does", quoted.
std::string described(std::string_view name, std::string_view text) {
  return shell_quoted(fmt::format("{}:{}", name, text));
}

// What the frames leave open, in the two languages.

std::string bash_own(const command_help& command) {
  std::vector<std::string> names;
  for (const option_help& option : command.options) {
    names.push_back(option.name);
  }
  return fmt::format("    {}) echo {} ;;\n", command.name, shell_quoted(joined(names)));
}

std::string zsh_own(const command_help& command) {
  std::string lines = fmt::format("    {})\n      options=(\n", command.name);
  for (const option_help& option : command.options) {
    lines += fmt::format("        {}\n", described(option.name, option.text));
  }
  return lines + "      )\n      ;;\n";
}

std::string bash_takes(const value_case& one) {
  std::vector<std::string> words = one.choice.words;
  if (one.choice.files) {
    words.emplace_back("FILES");
  }
  return fmt::format("    {}) echo {} ;;\n", one.pattern, shell_quoted(joined(words)));
}

std::string zsh_takes(const value_case& one) {
  const std::string words = one.choice.words.empty() ? "" : fmt::format("compadd -- {}; ", joined(one.choice.words));
  return fmt::format("    {}) {}{}return ;;\n", one.pattern, words, one.choice.files ? "_files; " : "");
}

/// What stands behind a command: `kind` is as its help calls the first argument.
std::string bash_argument(const command_help& command, const std::string& kind, const value_choice& choice) {
  std::string how;
  if (kind == "JOB.ini") {
    how = R"(mapfile -t COMPREPLY < <(compgen -d -- "$word"; compgen -f -X '!*.ini' -- "$word") )";
  } else if (!choice.words.empty()) {
    how = fmt::format(R"(COMPREPLY=($(compgen -W '{}' -- "$word")) )", joined(choice.words));
  }
  return fmt::format("      {}) {};;\n", command.name, how);
}

std::string zsh_argument(const command_help& command, const std::string& kind, const value_choice& choice) {
  std::string how;
  if (kind == "JOB.ini") {
    how = "_files -g '*.ini' ";
  } else if (!choice.words.empty()) {
    how = fmt::format("compadd -- {} ", joined(choice.words));
  }
  return fmt::format("      {}) {};;\n", command.name, how);
}

std::string bash_keys(const std::string& section, const std::vector<io::listed_option>& rows) {
  std::vector<std::string> keys;
  for (const io::listed_option& row : rows) {
    keys.push_back(row.key);
  }
  return fmt::format("    {}) echo {} ;;\n", section, shell_quoted(joined(keys)));
}

std::string zsh_keys(const std::string& section, const std::vector<io::listed_option>& rows) {
  std::string lines = fmt::format("            {})\n              options+=(\n", section);
  for (const io::listed_option& row : rows) {
    lines += fmt::format("                {}$name{}\n", shell_quoted(fmt::format("--{}.", section)),
                         shell_quoted(fmt::format(".{}:{}", row.key, row.help)));
  }
  return lines + "              )\n              ;;\n";
}

std::string bash_option(const io::listed_option& row) { return fmt::format("--{} ", row.name()); }

std::string zsh_option(const io::listed_option& row) {
  return fmt::format("        {}\n", described("--" + row.name(), row.help));
}

std::string bash_command(const command_help& command) { return command.name + " "; }

std::string zsh_command(const command_help& command) {
  return fmt::format("      {}\n", described(command.name, command.summary));
}

struct dialect {
  std::string_view frame;
  std::string (*command)(const command_help&);
  std::string (*own)(const command_help&);
  std::string (*argument)(const command_help&, const std::string& kind, const value_choice&);
  std::string (*takes)(const value_case&);
  std::string (*option)(const io::listed_option&);
  std::string (*keys)(const std::string& section, const std::vector<io::listed_option>&);
};

/// Puts texts into a frame in the places of their names.
std::string filled(std::string_view frame, const std::map<std::string, std::string>& texts) {
  std::string out(frame);
  for (const auto& [name, text] : texts) {
    const std::string place = fmt::format("@{}@", name);
    for (size_t at = 0; (at = out.find(place, at)) != std::string::npos; at += text.size()) {
      out.replace(at, place.size(), text);
    }
  }
  return out;
}

std::string script(const dialect& shell, std::span<const command_help> commands,
                   std::span<const io::listed_option> job) {
  std::map<std::string, std::string> texts;
  std::vector<std::string> with_jobs;
  for (const command_help& command : commands) {
    texts["COMMANDS"] += shell.command(command);
    texts["OWN"] += shell.own(command);
    const std::string kind = command.arguments.empty() ? "" : command.arguments[0];
    const value_choice choice = choice_of(kind, job);
    if (kind.empty() || kind == "JOB.ini" || !choice.words.empty()) {  // else files, as where nothing is said
      texts["ARGUMENTS"] += shell.argument(command, kind, choice);
    }
    if (command.job_options) {
      with_jobs.push_back(command.name);
    }
  }
  for (const value_case& one : value_cases(commands, job)) {
    texts["TAKES"] += shell.takes(one);
  }
  std::map<std::string, std::vector<io::listed_option>> named;  // sections that take any name
  for (const io::listed_option& row : job) {
    const std::string first = row.section.substr(0, row.section.find('.'));
    if (first == row.section) {
      texts["JOB"] += shell.option(row);
    } else {
      named[first].push_back(row);
    }
  }
  std::vector<std::string> sections;
  for (const auto& [section, rows] : named) {
    texts["KEYS"] += shell.keys(section, rows);
    sections.push_back(section);
  }
  texts["SECTIONS"] = joined(sections);
  texts["SECTIONS_OR"] = joined(sections, "|");
  texts["WITH_JOBS"] = joined(with_jobs, " | ");
  return filled(shell.frame, texts);
}

}  // namespace

std::string bash_completion(std::span<const command_help> commands, std::span<const io::listed_option> job) {
  return script({bash_frame, bash_command, bash_own, bash_argument, bash_takes, bash_option, bash_keys}, commands, job);
}

std::string zsh_completion(std::span<const command_help> commands, std::span<const io::listed_option> job) {
  return script({zsh_frame, zsh_command, zsh_own, zsh_argument, zsh_takes, zsh_option, zsh_keys}, commands, job);
}

}  // namespace troupe
