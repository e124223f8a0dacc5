#include "actors/hosts/many_tasks.hpp"

#include <cstdlib>

namespace troupe::actors {

namespace {

struct known_launcher {
  const char* name;
  const char* tasks;
  const char* place;
  int64_t fewest;  ///< tasks that matter
};

constexpr known_launcher known[] = {
    {"mpirun", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", 1},
    {"mpirun", "MPI_LOCALNRANKS", "MPI_LOCALRANKID", 1},  // MPICH's and Intel's, of this host
    // Of a step: a batch script has none. SLURM_NTASKS is the job's.
    {"srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", 2},
};

int64_t number_in(const environment& variables, const char* name) {
  const auto found = variables.find(name);
  return found == variables.end() ? 0 : std::strtoll(found->second.c_str(), nullptr, 10);
}

}  // namespace

std::optional<many_tasks> tasks_of(const environment& variables) {
  for (const known_launcher& one : known) {
    if (const int64_t tasks = number_in(variables, one.tasks); tasks >= one.fewest) {
      return many_tasks{.launcher = one.name, .tasks = tasks, .place = number_in(variables, one.place)};
    }
  }
  return std::nullopt;
}

}  // namespace troupe::actors
