#include "actors/cast/stored_state.hpp"

#include <string>
#include <string_view>

namespace troupe::actors {

static constexpr std::string_view prefix = "state/";

void add_state(const statistics& values, io::checkpoint_content& to) {
  for (const auto& [name, value] : values) {
    to.reals[std::string(prefix) + name] = value;
  }
}

statistics stored_state(const io::checkpoint_reader& from) {
  statistics values;
  for (const std::string& name : from.scalar_names()) {
    if (name.starts_with(prefix)) {
      values[name.substr(prefix.size())] = from.real(name);
    }
  }
  const key_map& counters = from.manifest().counters;
  for (const auto& [name, unused] : counters) {
    if (name.starts_with(prefix)) {
      values[name.substr(prefix.size())] = get_double(counters, name, 0);
    }
  }
  return values;
}

key_map counters_of_change(const statistics& then, const statistics& now) {
  key_map counters;
  for (const auto& [name, value] : now) {
    const auto before = then.find(name);
    if (before == then.end() || before->second != value) {
      counters[std::string(prefix) + name] = value;
    }
  }
  return counters;
}

}  // namespace troupe::actors
