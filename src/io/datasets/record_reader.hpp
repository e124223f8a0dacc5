/// The records of a data set that can be used, and what became of the other lines.
#pragma once

#include "io/datasets/lines.hpp"
#include "io/datasets/record.hpp"

#include <string>
#include <vector>

namespace troupe::io {

struct line_counts {
  int64_t records = 0;                ///< lines that hold something
  int64_t blank = 0;                  ///< lines that hold nothing
  int64_t unusable = 0;               ///< records that were left out: see read_record
  std::vector<std::string> examples;  ///< of those: "line N: reason", the first few
};

class record_reader {
public:
  /// Opens set.path.
  /// Errors  those of open_text.
  record_reader(const data_section& set, const chat_format& format);

  /// The next record that can be used, its line set; false at the end or after set.limit records.
  /// Errors  bad_file, io_failure: the file itself cannot be read on.
  bool next(record& out);

  const line_counts& counts() const { return counts_; }

private:
  void leave_out(const std::string& reason);

  const data_section& set_;
  const chat_format& format_;
  line_reader lines_;
  line_counts counts_;
};

/// What to say of a set none of whose records can be used: "By its columns it is of format = instruction: ... ". Empty:
/// its columns tell no other format than the set's own.
std::string other_format(const data_section& set);

/// Errors  bad_argument, with examples, where a larger share of the set's records than `most` cannot be used.
void require_usable(const data_section& set, const line_counts& counts, double most);

}  // namespace troupe::io
