#include "io/run/ledger.hpp"

#include "base/error.hpp"
#include "io/json/json.hpp"
#include "io/json/json_values.hpp"

#include <chrono>
#include <optional>

namespace troupe::io {
namespace {

using json = nlohmann::ordered_json;

ledger_kind kind_of(const std::string& name, const std::string& where) {
  const std::optional<ledger_kind> known = ledger_kind_of(name);
  if (!known) {
    throw error(errc::bad_file, "{}: unknown event \"{}\"", where, name);
  }
  return *known;
}

std::string line_of(const ledger_event& event) {
  json object;
  object["event"] = to_string(event.kind);
  object["time"] = event.time;
  object["attempt"] = event.attempt;
  if (!event.phase.empty()) {
    object["phase"] = event.phase;
  }
  if (event.counter >= 0) {
    object["counter"] = event.counter;
  }
  for (const auto& [name, value] : event.fields) {
    object[name] = to_json(value);
  }
  return dump(object, false);
}

ledger_event parse_event(std::string_view text, const std::string& where) {
  const json object = parse_ordered_json(text, where);
  if (!object.is_object()) {
    throw error(errc::bad_file, "{}: not a JSON object", where);
  }
  ledger_event event;
  event.kind = kind_of(json_text(object, "event", where), where);
  event.time = json_double(object, "time", where);
  event.attempt = json_int(object, "attempt", where);
  for (const auto& [name, value] : object.items()) {
    if (name == "phase") {
      event.phase = json_text(object, "phase", where);
    } else if (name == "counter") {
      event.counter = json_int(object, "counter", where);
    } else if (name != "event" && name != "time" && name != "attempt") {
      event.fields.emplace_back(name, from_json(value, where));
    }
  }
  return event;
}

}  // namespace

void ledger_writer::append(ledger_event event) {
  if (event.time == 0) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
    event.time = static_cast<double>(now_ms) / 1000;
  }
  file_.append(line_of(event), true);
}

std::vector<ledger_event> read_ledger(const std::filesystem::path& path) {
  std::vector<ledger_event> events;
  if (!std::filesystem::exists(path)) {
    return events;
  }
  for_each_line(path, [&](std::string_view text, int64_t number) {
    events.push_back(parse_event(text, fmt::format("{} line {}", path.string(), number)));
  });
  return events;
}

}  // namespace troupe::io
