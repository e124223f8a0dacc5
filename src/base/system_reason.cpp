#include "base/system_reason.hpp"

#include <cerrno>
#include <cstring>

namespace troupe {

static const char* remedy_of(int number) {
  switch (number) {
  case ENOSPC:
    return " (make room on that file system: `troupe plan` tells what a run needs)";
  case EDQUOT:
    return " (raise your quota there, or free some of it: `troupe plan` tells what a run needs)";
  case EFBIG:
    return " (the shell's limit on the size of files is too low: ulimit -f unlimited)";
  case EACCES:
  case EPERM:
    return " (its owner or mode keeps you out: name another folder, or have it changed)";
  case EROFS:
    return " (it can only be read there: name another folder)";
  case EMFILE:
    return " (the limit on open files is too low: ulimit -n)";
  default:
    return "";
  }
}

std::string system_reason(int number) { return std::string(std::strerror(number)) + remedy_of(number); }

}  // namespace troupe
