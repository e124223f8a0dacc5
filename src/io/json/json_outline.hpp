/// JSON for people.
#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace troupe::io {

/// A name and a value per line, nested ones indented; an object without nested ones on one line, an array of objects
/// with their number and one to a line.
std::string json_outline(const nlohmann::ordered_json& object);

}  // namespace troupe::io
