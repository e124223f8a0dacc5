/// Stops one thread of another process for ever, while its others go on: a
/// hang as an operation that never returns makes it.
#pragma once

#include <sys/types.h>

#include <optional>
#include <set>
#include <string>
#include <thread>

namespace troupe::test {

class stopped_thread {
public:
  /// `thread`: of a process that this one, or one of its descendants, has started.
  explicit stopped_thread(pid_t thread);
  /// Waits until its process is gone.
  ~stopped_thread();
  stopped_thread(const stopped_thread&) = delete;
  stopped_thread& operator=(const stopped_thread&) = delete;

  /// False: the thread had ended, or may not be traced.
  bool stopped() const { return stopped_; }

private:
  bool stopped_ = false;
  std::thread reaper_;  ///< a traced thread that nobody waits for keeps its dead process from being gone
};

/// The thread of a process, none of the named, that computes: for at least half of the next few milliseconds. None: no
/// thread does.
std::optional<pid_t> busiest_thread(pid_t process, const std::set<std::string>& but);

/// A thread of that name. None: there is none just now.
std::optional<pid_t> thread_named(pid_t process, const std::string& name);

}  // namespace troupe::test
