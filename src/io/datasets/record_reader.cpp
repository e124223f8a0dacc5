#include "io/datasets/record_reader.hpp"

#include "base/error.hpp"
#include "io/datasets/recognise.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace troupe::io {

record_reader::record_reader(const data_section& set, const chat_format& format)
    : set_(set), format_(format), lines_(open_text(set.path), set.path) {}

void record_reader::leave_out(const std::string& reason) {
  constexpr size_t most_examples = 3;
  ++counts_.unusable;
  if (counts_.examples.size() < most_examples) {
    counts_.examples.push_back(reason);
  }
}

bool record_reader::next(record& out) {
  std::string line;
  while ((set_.limit == 0 || counts_.records < set_.limit) && lines_.next(line)) {
    if (is_blank(line)) {
      ++counts_.blank;
      continue;
    }
    ++counts_.records;
    const std::string where = fmt::format("line {}", lines_.line());
    try {
      require_utf8(line, where);
      out = read_record(line, set_, where, format_);
      out.line = lines_.line();
      return true;
    } catch (const error& e) {
      leave_out(e.what());
    }
  }
  return false;
}

std::string other_format(const data_section& set) {
  data_section open = set;
  open.format = data_format::automatic;
  try {
    recognise_format(open);
  } catch (const error&) {
    return "";
  }
  return open.format == set.format
             ? ""
             : fmt::format("By its columns it is of format = {}: give that, or none, and it is recognised. ",
                           to_string(open.format));
}

void require_usable(const data_section& set, const line_counts& counts, double most) {
  const double share =
      counts.records == 0 ? 0 : static_cast<double>(counts.unusable) / static_cast<double>(counts.records);
  if (share > most) {
    const std::string other = counts.unusable == counts.records ? other_format(set) : "";
    throw error(errc::bad_argument,
                "{}: {} of {} records ({:.3g} %) cannot be used, and data.max-unusable = {:g} allows {:.3g} %:\n"
                "  {}{}\n{}Mend them, give data.{} another format, or raise data.max-unusable",
                set.path, counts.unusable, counts.records, 100 * share, most, 100 * most,
                fmt::join(counts.examples, "\n  "),
                counts.unusable > static_cast<int64_t>(counts.examples.size()) ? "\n  ..." : "", other, set.name);
  }
}

}  // namespace troupe::io
