/// Event files that TensorBoard opens: <folder>/<phase>/events.out.tfevents..., a TensorBoard "run"
/// per phase.
/// Source  TFRecord framing: tensorflow/core/lib/io/record_writer.h; messages:
/// tensorflow/core/util/event.proto and tensorflow/core/framework/summary.proto, encoded by hand.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace troupe::io {

/// Appends points. A damaged or partial last record, left by a crash, is cut on opening. One writer
/// at a time.
/// Errors  io_failure.
class tensorboard_writer {
public:
  explicit tensorboard_writer(std::filesystem::path folder);
  ~tensorboard_writer();
  tensorboard_writer(const tensorboard_writer&) = delete;
  tensorboard_writer& operator=(const tensorboard_writer&) = delete;

  /// `step`: the update or iteration that the phase counts; `time`: Unix seconds. Numbers that are
  /// not finite are kept.
  void add_scalars(const std::string& phase, int64_t step, double time,
                   std::span<const std::pair<std::string, double>> values);

  /// Shown under "Text", as Markdown: sample rollouts.
  void add_text(const std::string& phase, int64_t step, double time, const std::string& tag,
                const std::string& markdown);

  /// On resume: drops the points of `phase` with a step above `counter`, and the files of
  /// `later_phases`.
  void truncate_after(const std::string& phase, int64_t counter, std::span<const std::string> later_phases);

private:
  int descriptor(const std::string& phase, double time);
  void append(const std::string& phase, double time, std::string_view event);
  void close_all();

  std::filesystem::path folder_;
  std::map<std::string, int> descriptors_;
};

}  // namespace troupe::io
