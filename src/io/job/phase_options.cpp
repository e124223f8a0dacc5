// The options that a phase goes by: as a digest, and what differs between two jobs.
#include "base/digest.hpp"
#include "io/job/options.hpp"
#include "io/job/phases.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>

namespace troupe::io {

namespace {

struct flat_option {
  std::string entry;  ///< "[data.hh]"; empty where the section has none
  std::string name, text;
  bool input = false;  ///< it says what the phase starts from and learns from
  bool operator==(const flat_option&) const = default;
};

using flat_options = std::vector<flat_option>;

flat_option flat(const option& row, const std::string& name, const field& value) {
  const std::string entry = row.named() ? "[" + row.section.substr(0, row.section.size() - 1) + name + "]" : "";
  static constexpr std::array inputs = {"model", "data.*", "split", "length", "pairs"};
  const bool input = std::find(inputs.begin(), inputs.end(), row.section) != inputs.end();
  return {entry, row.full_name(name), compared_text(row, value), input};
}

std::string shares_text(const split_shares& shares) {
  std::string out;
  const auto add = [&](const char* use, double share) {
    if (share > 0) {
      out += fmt::format("{}{} {:g}", out.empty() ? "" : ", ", use, share);
    }
  };
  add("sft", shares.sft);
  add("reward", shares.reward);
  add("ppo", shares.ppo);
  add("held-out", shares.held_out);
  return out;
}

/// What follows from several options: whose prompts a set has.
flat_options divisions_of(const job& job, phase of) {
  flat_options out;
  for (const data_section& set : job.data) {
    if (of_phases_drawing(job, set.name, of)) {
      out.push_back({"[data." + set.name + "]", fmt::format("prompts of data.{}", set.name),
                     shares_text(shares_for(job, set)), true});
    }
  }
  return out;
}

/// The same: these, and which phases have gone before.
void add_derived(const job& job, phase of, flat_options& out) {
  const flat_options divisions = divisions_of(job, of);
  out.insert(out.end(), divisions.begin(), divisions.end());
  std::vector<phase> makers;
  std::copy_if(job.run.phases.begin(), job.run.phases.end(), std::back_inserter(makers),
               [&](phase maker) { return feeds(job, maker, of); });
  out.push_back({"", fmt::format("phases that {} goes on from", to_string(of)), phases_text(makers), true});
}

flat_options options_of(const job& job, phase of, bool with_length) {
  flat_options out;
  visit_job(job, [&](const option& row, const std::string& name, const field& value) {
    if (goes_by(job, row, name, of) && (!row.lengthens || with_length)) {
      out.push_back(flat(row, name, value));
    }
  });
  add_derived(job, of, out);
  return out;
}

const flat_option* find_flat(const flat_options& list, const std::string& name) {
  const auto found = std::find_if(list.begin(), list.end(), [&](const flat_option& one) { return one.name == name; });
  return found == list.end() ? nullptr : &*found;
}

bool has_entry(const flat_options& list, const std::string& entry) {
  return std::any_of(list.begin(), list.end(), [&](const flat_option& one) { return one.entry == entry; });
}

std::string shown(const std::string& text) { return text.empty() ? "empty" : text; }

/// An option that only the list from before has, or only the one from now: a line for its whole entry where the other
/// lacks that.
std::string only_there(const flat_option& one, const flat_options& other, phase of, bool before) {
  if (!one.entry.empty() && !has_entry(other, one.entry)) {
    return fmt::format("{}: has to do with phase {} {}", one.entry, to_string(of),
                       before ? "before, not now" : "now, not before");
  }
  return before ? fmt::format("{}: {} before, absent now", one.name, shown(one.text))
                : fmt::format("{}: absent before, {} now", one.name, shown(one.text));
}

void add_differences(const flat_options& old, const flat_options& current, phase of, std::vector<std::string>& out) {
  std::vector<std::string> found;
  for (const flat_option& one : old) {
    const flat_option* match = find_flat(current, one.name);
    if (match == nullptr) {
      found.push_back(only_there(one, current, of, true));
    } else if (match->text != one.text) {
      found.push_back(fmt::format("{}: {} before, {} now", one.name, shown(one.text), shown(match->text)));
    }
  }
  for (const flat_option& one : current) {
    if (find_flat(old, one.name) == nullptr) {
      found.push_back(only_there(one, old, of, false));
    }
  }
  if (found.empty() && old != current) {
    found.emplace_back("the sections of [data.NAME] or [rewards.NAME] stand in another order");
  }
  for (std::string& line : found) {
    if (std::find(out.begin(), out.end(), line) == out.end()) {
      out.push_back(std::move(line));
    }
  }
}

bool falls(const optimizer_options& learns) { return learns.schedule != schedule::constant; }

}  // namespace

bool falls_with_length(const job& job, phase of) {
  switch (of) {
  case phase::pairs:
    return false;
  case phase::sft:
    return falls(job.sft.training.optimizer);
  case phase::reward:
    return falls(job.reward.training.optimizer);
  case phase::ppo:
  case phase::replay:
    return falls(job.ppo.policy) || falls(job.ppo.critic);
  }
  return true;
}

std::string compared_text(const option& row, const field& value) {
  return row.text == text_kind::path ? std::filesystem::path(*std::get<std::string*>(value)).filename().string()
                                     : fmt::format("{}", fmt::join(write_field(value), ", "));
}

uint64_t job_digest(const job& job, phase of) {
  digest_stream stream;
  for (const flat_option& one : options_of(job, of, falls_with_length(job, of))) {
    stream.update(one.name);
    stream.update("=");
    stream.update(one.text);
    stream.update("\n");
  }
  return stream.value();
}

std::vector<std::string> differences(const job& before, const job& now, std::span<const phase> of) {
  std::vector<std::string> out;
  for (const phase p : of) {
    const bool with_length = falls_with_length(before, p) && falls_with_length(now, p);
    add_differences(options_of(before, p, with_length), options_of(now, p, with_length), p, out);
  }
  return out;
}

bool divides_alike(const job& before, const job& now, phase of) {
  const flat_options current = divisions_of(now, of);
  for (const flat_option& one : divisions_of(before, of)) {
    const flat_option* match = find_flat(current, one.name);
    if (match != nullptr && match->text != one.text) {
      return false;
    }
  }
  return true;
}

std::vector<std::string> input_differences(const job& before, const job& now, phase of) {
  flat_options old = options_of(before, of, false);
  flat_options current = options_of(now, of, false);
  for (flat_options* list : {&old, &current}) {
    std::erase_if(*list, [](const flat_option& one) { return !one.input; });
  }
  std::vector<std::string> out;
  add_differences(old, current, of, out);
  return out;
}

std::vector<std::string> length_differences(const job& before, const job& now, phase of) {
  const auto lengths = [&](const job& job) {
    flat_options out;
    visit_job(job, [&](const option& row, const std::string& name, const field& value) {
      if (row.lengthens && goes_by(job, row, name, of)) {
        out.push_back(flat(row, name, value));
      }
    });
    return out;
  };
  std::vector<std::string> out;
  add_differences(lengths(before), lengths(now), of, out);
  return out;
}

}  // namespace troupe::io
