#include "engine/models/family.hpp"

#include "base/error.hpp"

#include <fmt/ranges.h>

namespace troupe::engine {

const model_family& find_family(std::string_view type) {
  std::vector<std::string_view> types;
  for (const model_family* family : all_families()) {
    if (family->type == type) {
      return *family;
    }
    types.push_back(family->type);
  }
  throw error(errc::unsupported, "config.json: model_type = \"{}\" is not supported: possible are {}", type,
              fmt::join(types, ", "));
}

}  // namespace troupe::engine
