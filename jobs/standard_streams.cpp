#include "jobs/standard_streams.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio_ext.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>

namespace troupe {

void hold_standard_streams() {
  // The other way round than they are used, so that using them fails; errors have nobody to be told to.
  constexpr int modes[] = {O_WRONLY, O_RDONLY, O_WRONLY};
  for (int descriptor = 0; descriptor < 3; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) < 0) {
      ::open("/dev/null", modes[descriptor]);  // takes the lowest number that is free
    }
  }
}

std::optional<std::string> failure_of_standard_streams() {
  std::cout.flush();
  errno = 0;
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0 || !std::cout) {
    return fmt::format("its output cannot be written{}{}", errno != 0 ? ": " : "",
                       errno != 0 ? std::strerror(errno) : "");
  }
  if (std::ferror(stdin) != 0 || std::cin.bad()) {
    return "its input cannot be read: what was read is not all";
  }
  return std::nullopt;
}

std::optional<std::string> try_to_print(const std::string& text) {
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) {
    return std::nullopt;
  }
  const int reason = errno;
  ::__fpurge(stdout);
  std::clearerr(stdout);
  return std::strerror(reason);
}

}  // namespace troupe
