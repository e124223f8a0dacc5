// A job as text.
#include "io/job/options.hpp"

#include <fmt/format.h>

namespace troupe::io {

void visit_job(const job& job, const option_visitor& visit) {
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

}  // namespace troupe::io
