// A job as text, as a digest, and what differs between two.
#include "base/digest.hpp"
#include "io/job/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

namespace troupe::io {

/// Calls with each option of each entry, section by section, in the table's order.
template <class Visit> static void visit_job(const job& job, const Visit& visit) {
  io::job& fields = const_cast<io::job&>(job);  // the table's finders serve reading and writing; this only reads
  for (const section_help& section : job_sections()) {
    for (const std::string& name : entry_names(job, std::string(section.name))) {
      for (const option& row : job_options()) {
        if (row.section == section.name) {
          visit(row, name, row.find(fields, name));
        }
      }
    }
  }
}

std::string job_text(const job& job) {
  std::string out = "; Every option of the run, resolved.\n";
  std::string last;
  visit_job(job, [&](const option& row, const std::string& name, const field& value) {
    std::string section = row.full_name(name);
    section.resize(section.size() - row.key.size() - 1);
    if (section != last) {
      out += fmt::format("\n[{}]\n", section);
      last = section;
    }
    for (const std::string& text : write_field(value)) {
      out += text.empty() ? fmt::format("{} =\n", row.key) : fmt::format("{} = {}\n", row.key, text);
    }
  });
  return out;
}

namespace {

struct flat_option {
  std::string name, text;
  bool operator==(const flat_option&) const = default;
};

}  // namespace

/// The options that influence the numbers, as texts. Of a path the last component: a run may move.
static std::vector<flat_option> numbers_of(const job& job) {
  std::vector<flat_option> out;
  visit_job(job, [&](const option& row, const std::string& name, const field& value) {
    if (!row.numbers) {
      return;
    }
    std::string text = fmt::format("{}", fmt::join(write_field(value), ", "));
    if (row.text == text_kind::path) {
      text = std::filesystem::path(*std::get<std::string*>(value)).filename().string();
    }
    out.push_back({row.full_name(name), text});
  });
  return out;
}

uint64_t job_digest(const job& job) {
  digest_stream stream;
  for (const flat_option& one : numbers_of(job)) {
    stream.update(one.name);
    stream.update("=");
    stream.update(one.text);
    stream.update("\n");
  }
  return stream.value();
}

static const flat_option* find_flat(const std::vector<flat_option>& list, const std::string& name) {
  const auto found = std::find_if(list.begin(), list.end(), [&](const flat_option& one) { return one.name == name; });
  return found == list.end() ? nullptr : &*found;
}

std::vector<std::string> differences(const job& before, const job& now) {
  const std::vector<flat_option> old = numbers_of(before);
  const std::vector<flat_option> current = numbers_of(now);
  const auto shown = [](const std::string& text) { return text.empty() ? "empty" : text; };
  std::vector<std::string> out;
  for (const flat_option& one : old) {
    const flat_option* match = find_flat(current, one.name);
    if (match == nullptr) {
      out.push_back(fmt::format("{}: {} before, absent now", one.name, shown(one.text)));
    } else if (match->text != one.text) {
      out.push_back(fmt::format("{}: {} before, {} now", one.name, shown(one.text), shown(match->text)));
    }
  }
  for (const flat_option& one : current) {
    if (find_flat(old, one.name) == nullptr) {
      out.push_back(fmt::format("{}: absent before, {} now", one.name, shown(one.text)));
    }
  }
  if (out.empty() && old != current) {
    out.emplace_back("the sections of [data.NAME] or [rewards.NAME] stand in another order");
  }
  return out;
}

}  // namespace troupe::io
