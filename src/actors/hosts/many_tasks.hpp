/// Whether a launcher has started this process, perhaps several times: `mpirun -n 2 troupe run`, `srun troupe run`.
#pragma once

#include "actors/hosts/allocation.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace troupe::actors {

struct many_tasks {
  std::string launcher;  ///< "mpirun"
  int64_t tasks = 0;
  int64_t place = 0;  ///< of this process among them
};

/// None where nobody has started this process more than once: a task of srun's that is alone (salloc's shell is one) is
/// as good as none. A single one of mpirun's is not, since mpirun cannot start another below it.
std::optional<many_tasks> tasks_of(const environment& variables);

}  // namespace troupe::actors
