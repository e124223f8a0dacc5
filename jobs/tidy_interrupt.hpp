/// A command that writes a folder, and is interrupted: what it has begun is removed.
#pragma once

#include "base/descriptor.hpp"

#include <csignal>
#include <map>
#include <thread>

namespace troupe {

/// While it lives, SIGINT, SIGTERM and SIGHUP end the process as they do anyway, but after its unfinished folders are
/// gone (io::discard_unfinished_folders). A signal that was ignored stays so. One at a time.
class tidy_interrupt {
public:
  tidy_interrupt();
  ~tidy_interrupt();
  tidy_interrupt(const tidy_interrupt&) = delete;
  tidy_interrupt& operator=(const tidy_interrupt&) = delete;

private:
  std::map<int, struct sigaction> before_;
  descriptor to_, from_;  ///< of a pipe, through which the handler tells the thread
  std::thread thread_;
};

}  // namespace troupe
