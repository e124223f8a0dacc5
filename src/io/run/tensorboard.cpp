#include "io/run/tensorboard.hpp"

#include "base/error.hpp"
#include "io/files/atomic_file.hpp"
#include "io/files/line_file.hpp"
#include "io/files/mapped_file.hpp"
#include "io/files/paths.hpp"
#include "io/run/tfrecord.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

/// TensorBoard reads files whose names contain "tfevents". One file is enough, since it is written anew on resume.
constexpr const char* event_file_name = "events.out.tfevents.0.troupe";

// Field numbers of the messages.
namespace event_field {
constexpr int wall_time = 1, step = 2, file_version = 3, summary = 5;
}
namespace value_field {
constexpr int tag = 1, simple_value = 2, tensor = 8, metadata = 9;
}
constexpr int summary_value = 1;

std::string event_head(double time, int64_t step) {
  std::string event;
  put_double(event, event_field::wall_time, time);
  put_varint(event, event_field::step, static_cast<uint64_t>(step));
  return event;
}

std::string version_event(double time) {
  std::string event;
  put_double(event, event_field::wall_time, time);
  put_bytes(event, event_field::file_version, "brain.Event:2");
  return event;
}

/// SummaryMetadata{plugin_data{plugin_name: "text"}, data_class: DATA_CLASS_TENSOR}.
std::string text_metadata() {
  std::string plugin;
  put_bytes(plugin, 1, "text");
  std::string metadata;
  put_bytes(metadata, 1, plugin);
  put_varint(metadata, 4, 2);
  return metadata;
}

/// TensorProto{dtype: DT_STRING, tensor_shape: that of a scalar, string_val: text}.
std::string text_tensor(std::string_view text) {
  std::string tensor;
  put_varint(tensor, 1, 7);
  put_bytes(tensor, 2, "");
  put_bytes(tensor, 8, text);
  return tensor;
}

/// The whole records of a file for which keep(data) holds.
template <class Keep> std::string whole_records(std::string_view bytes, Keep keep) {
  std::string kept;
  while (const std::optional<std::string_view> data = first_tfrecord(bytes)) {
    const size_t size = data->size() + tfrecord_overhead;
    if (keep(*data)) {
      kept.append(bytes.substr(0, size));
    }
    bytes.remove_prefix(size);
  }
  return kept;
}

void check_phase(const std::string& phase) {
  if (phase.empty() || phase.find('/') != std::string::npos || phase.front() == '.') {
    throw error(errc::bad_argument, "'{}' cannot name a folder of TensorBoard points", phase);
  }
}

}  // namespace

tensorboard_writer::tensorboard_writer(fs::path folder) : folder_(std::move(folder)) {}

tensorboard_writer::~tensorboard_writer() { close_all(); }

void tensorboard_writer::close_all() {
  for (const auto& [phase, descriptor] : descriptors_) {
    ::close(descriptor);
  }
  descriptors_.clear();
}

/// Cuts what a crash left at the end of an open file, or begins the file with the version.
static void begin(int file, const fs::path& path, double time) {
  const std::string text = read_text_file(path);
  const std::string whole = whole_records(text, [](std::string_view) { return true; });
  if (whole.size() != text.size() && ::ftruncate(file, static_cast<off_t>(whole.size())) != 0) {
    throw error(errc::io_failure, "cannot cut the damaged end of {}: {}", path.string(), std::strerror(errno));
  }
  if (whole.empty()) {
    write_all(file, tfrecord(version_event(time)), path);
  }
}

/// Of the phase's file, which is opened at its first point.
int tensorboard_writer::descriptor(const std::string& phase, double time) {
  const auto found = descriptors_.find(phase);
  if (found != descriptors_.end()) {
    return found->second;
  }
  check_phase(phase);
  const fs::path path = folder_ / phase / event_file_name;
  make_folder(path.parent_path());
  const int opened = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (opened < 0) {
    throw error(errc::io_failure, "cannot open {}: {}", path.string(), std::strerror(errno));
  }
  try {
    begin(opened, path, time);
  } catch (...) {
    ::close(opened);  // what is half written is cut when it is opened again
    throw;
  }
  descriptors_[phase] = opened;
  return opened;
}

void tensorboard_writer::append(const std::string& phase, double time, std::string_view event) {
  const int file = descriptor(phase, time);
  const off_t before = ::lseek(file, 0, SEEK_END);
  try {
    write_all(file, tfrecord(event), folder_ / phase / event_file_name);
  } catch (...) {
    // Half a record would hide all that follow it.
    if (::ftruncate(file, before) != 0) {
      ::close(file);
      descriptors_.erase(phase);  // to be cut when it is opened again
    }
    throw;
  }
}

void tensorboard_writer::add_scalars(const std::string& phase, int64_t step, double time,
                                     std::span<const std::pair<std::string, double>> values) {
  std::string summary;
  for (const auto& [tag, number] : values) {
    std::string value;
    put_bytes(value, value_field::tag, tag);
    put_float(value, value_field::simple_value, static_cast<float>(number));
    put_bytes(summary, summary_value, value);
  }
  std::string event = event_head(time, step);
  put_bytes(event, event_field::summary, summary);
  append(phase, time, event);
}

void tensorboard_writer::add_text(const std::string& phase, int64_t step, double time, const std::string& tag,
                                  const std::string& markdown) {
  std::string value;
  put_bytes(value, value_field::tag, tag);
  put_bytes(value, value_field::tensor, text_tensor(markdown));
  put_bytes(value, value_field::metadata, text_metadata());
  std::string summary;
  put_bytes(summary, summary_value, value);
  std::string event = event_head(time, step);
  put_bytes(event, event_field::summary, summary);
  append(phase, time, event);
}

void tensorboard_writer::truncate_after(const std::string& phase, int64_t counter,
                                        std::span<const std::string> later_phases) {
  close_all();
  check_phase(phase);
  for (const std::string& later : later_phases) {
    check_phase(later);
    remove_tree(folder_ / later / event_file_name);
    std::error_code not_empty;  // what else lies there was put there by somebody else
    fs::remove(folder_ / later, not_empty);
  }
  const fs::path path = folder_ / phase / event_file_name;
  if (is_there(path)) {
    const std::string text = read_text_file(path);
    const std::string kept = whole_records(
        text, [counter](std::string_view data) { return event_step(data).value_or(counter + 1) <= counter; });
    if (kept.size() != text.size()) {
      write_file_atomically(path, kept);
    }
  }
}

}  // namespace troupe::io
