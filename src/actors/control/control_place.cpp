#include "actors/control/control_place.hpp"

#include <string_view>

namespace troupe::actors {

static std::string with_name(std::string text, const std::string& here) {
  constexpr std::string_view mark = "%h";
  for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + here.size())) {
    text.replace(at, mark.size(), here);
  }
  return text;
}

control_place control_place_of(const io::recovery_section& options, bool on_nodes, const std::string& here) {
  const auto port = static_cast<uint16_t>(options.control_port);
  if (!on_nodes) {
    return {.host = "127.0.0.1", .address = "127.0.0.1", .port = port};
  }
  if (options.control_host.empty()) {
    return {.host = here, .address = "0.0.0.0", .port = port};
  }
  const std::string name = with_name(options.control_host, here);
  return {.host = name, .address = name, .port = port};
}

}  // namespace troupe::actors
