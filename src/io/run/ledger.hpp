/// ledger.jsonl: what happened to a run, one JSON object per line, append-only.
#pragma once

#include "base/keys.hpp"
#include "io/files/line_file.hpp"
#include "io/run/ledger_kind.hpp"
#include "io/run/run_directory.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace troupe::io {

/// "reason", "signal", ..., in the order to be written.
using ledger_fields = std::vector<std::pair<std::string, key_value>>;

struct ledger_event {
  ledger_kind kind = ledger_kind::note;
  double time = 0;  ///< Unix time in seconds; 0: set by append
  int64_t attempt = 0;
  std::string phase;     ///< empty: left out
  int64_t counter = -1;  ///< update or iteration, as the phase counts; negative: left out
  ledger_fields fields;
};

/// Appends events, each durable when append returns. A partial last line, left by a crash, is cut
/// on opening.
/// Errors  io_failure.
class ledger_writer {
public:
  explicit ledger_writer(const run_directory& run) : ledger_writer(run.ledger()) {}
  explicit ledger_writer(const std::filesystem::path& file) : file_(file) {}
  void append(ledger_event event);

private:
  line_file file_;
};

/// All complete lines; none where there is no ledger yet.
/// Errors  io_failure, bad_file with the line's number.
std::vector<ledger_event> read_ledger(const std::filesystem::path& path);

}  // namespace troupe::io
