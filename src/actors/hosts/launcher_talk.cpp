#include "actors/hosts/launcher_talk.hpp"

#include <algorithm>
#include <cctype>

namespace troupe::actors {

namespace {

constexpr size_t shortest_frame = 40;
constexpr int64_t longest_text = 60;  // a frame that never closes hides no more than so many lines

bool is_frame(std::string_view line) {
  return line.size() >= shortest_frame && std::all_of(line.begin(), line.end(), [](char c) { return c == '-'; });
}

/// "[node1:12345] 1 more process has sent help message ..."
bool is_of_a_daemon(std::string_view line) {
  const size_t colon = line.find(':');
  const size_t end = line.find("] ");
  if (!line.starts_with('[') || colon == std::string_view::npos || end == std::string_view::npos || end <= colon + 1) {
    return false;
  }
  const std::string_view number = line.substr(colon + 1, end - colon - 1);
  return std::all_of(number.begin(), number.end(),
                     [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; });
}

}  // namespace

bool is_log_detail(std::string_view line) {
  const size_t second = line.find(' ');
  return second != std::string_view::npos && line.substr(second).starts_with(" info ");
}

bool launcher_talk::is_own(std::string_view line) {
  if (is_frame(line)) {
    framed_ = framed_ > 0 ? 0 : 1;
    return true;
  }
  if (framed_ > 0) {
    framed_ = framed_ > longest_text ? 0 : framed_ + 1;
    return true;
  }
  return line.starts_with("mpirun: ") || line.starts_with("mpirun noticed") || is_of_a_daemon(line);
}

}  // namespace troupe::actors
