#include "io/run/metrics.hpp"

#include "base/error.hpp"
#include "io/files/atomic_file.hpp"
#include "io/json/json.hpp"
#include "io/json/json_values.hpp"

#include <algorithm>

namespace troupe::io {
namespace {

using json = nlohmann::ordered_json;

metrics_record parse_record(std::string_view text, const std::string& where) {
  const json object = parse_ordered_json(text, where);
  if (!object.is_object()) {
    throw error(errc::bad_file, "{}: not a JSON object", where);
  }
  metrics_record record;
  record.phase = json_text(object, "phase", where);
  record.update = json_int(object, "update", where);
  record.iteration = object.contains("iteration") ? json_int(object, "iteration", where) : -1;
  record.attempt = json_int(object, "attempt", where);
  record.time = json_double(object, "time", where);
  for (const auto& [name, value] : object.items()) {
    if (name == "phase" || name == "update" || name == "iteration" || name == "attempt" || name == "time") {
      continue;
    }
    if (value.is_string()) {
      record.texts.emplace_back(name, value.get<std::string>());
    } else if (value.is_number() || value.is_null()) {
      record.values.emplace_back(name,
                                 value.is_null() ? std::get<double>(from_json(value, where)) : value.get<double>());
    } else {
      throw error(errc::bad_file, "{}: \"{}\" is neither number, null nor text", where, name);
    }
  }
  return record;
}

}  // namespace

std::string metrics_line(const metrics_record& record) {
  json object;
  object["phase"] = record.phase;
  object["update"] = record.update;
  if (record.iteration >= 0) {
    object["iteration"] = record.iteration;
  }
  object["attempt"] = record.attempt;
  object["time"] = record.time;
  for (const auto& [name, value] : record.values) {
    object[name] = to_json(value);
  }
  for (const auto& [name, text] : record.texts) {
    object[name] = text;
  }
  return dump(object, false);
}

metrics_writer::metrics_writer(std::filesystem::path path)
    : path_(std::move(path)), file_(std::make_unique<line_file>(path_)) {}

void metrics_writer::append(const metrics_record& record, bool durable) {
  file_->append(metrics_line(record), durable);
}

void metrics_writer::truncate_after(const std::string& phase, int64_t counter,
                                    std::span<const std::string> later_phases) {
  std::string kept;
  bool dropped = false;
  for_each_line(path_, [&](std::string_view text, int64_t number) {
    const metrics_record record = parse_record(text, fmt::format("{} line {}", path_.string(), number));
    const bool later = std::find(later_phases.begin(), later_phases.end(), record.phase) != later_phases.end();
    if (later || (record.phase == phase && record.counter() > counter)) {
      dropped = true;
    } else {
      kept.append(text).push_back('\n');
    }
  });
  if (dropped) {
    write_file_atomically(path_, kept);  // where this fails, the old file is still the one that is open
    file_ = std::make_unique<line_file>(path_);
  }
}

std::vector<metrics_record> read_metrics(const std::filesystem::path& path) {
  std::vector<metrics_record> records;
  for_each_line(path, [&](std::string_view text, int64_t number) {
    records.push_back(parse_record(text, fmt::format("{} line {}", path.string(), number)));
  });
  return records;
}

}  // namespace troupe::io
