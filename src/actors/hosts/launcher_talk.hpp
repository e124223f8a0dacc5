/// Which lines of a launcher's standard error are its own, and no rank's.
#pragma once

#include <cstdint>
#include <string_view>

namespace troupe::actors {

/// Whether a line is of a program's log, and no trouble: its second word is the level, as in "04:12:33 info ...".
bool is_log_detail(std::string_view line);

/// Open MPI's mpirun explains at length, in a frame of dashes, that a rank has ended: which is what the supervisor
/// wanted, or knows better. Fed with the lines in their order.
class launcher_talk {
public:
  /// Whether this line is mpirun's.
  bool is_own(std::string_view line);

private:
  int64_t framed_ = 0;  ///< lines of a frame that has been opened; 0: outside
};

}  // namespace troupe::actors
