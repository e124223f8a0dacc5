/// metrics.jsonl: one JSON object per update or iteration (docs/files.md).
#pragma once

#include "io/files/line_file.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace troupe::io {

/// What an update or iteration was like. The record of update n is written when n updates are done, as a checkpoint
/// after n updates has the number n.
struct metrics_record {
  std::string phase;
  int64_t update = 0;      ///< updates of this phase so far
  int64_t iteration = -1;  ///< negative: the phase has none, and the key is left out
  int64_t attempt = 0;
  double time = 0;                                         ///< Unix time in seconds
  std::vector<std::pair<std::string, double>> values;      ///< "policy/loss", ... in the order to be written
  std::vector<std::pair<std::string, std::string>> texts;  ///< written after the values

  /// Iterations where the phase counts them, else updates.
  int64_t counter() const { return iteration >= 0 ? iteration : update; }
};

/// Appends records; each is one write of a whole line. A partial last line, left by a crash, is cut
/// on opening. One writer at a time (the run directory's lock sees to it).
/// Errors  io_failure, bad_file (a complete line that is no record).
class metrics_writer {
public:
  explicit metrics_writer(std::filesystem::path path);

  /// Numbers in their shortest round-trip form; NaN and infinities become null. With `durable` the record, and all
  /// before it, is on disk when append returns.
  void append(const metrics_record& record, bool durable = false);

  /// On resume: drops the records of `phase` whose counter() is above `counter`, and all of
  /// `later_phases`, by writing the rest anew and renaming.
  void truncate_after(const std::string& phase, int64_t counter, std::span<const std::string> later_phases);

private:
  std::filesystem::path path_;
  std::unique_ptr<line_file> file_;
};

/// One line, without its end.
std::string metrics_line(const metrics_record& record);

/// All complete lines; null becomes NaN.
/// Errors  not_found, io_failure, bad_file with the line's number.
std::vector<metrics_record> read_metrics(const std::filesystem::path& path);

}  // namespace troupe::io
