// Built instead of mpi.cpp where there is no MPI (TROUPE_MPI=OFF).
#include "base/error.hpp"
#include "engine/parallel/communicator.hpp"
#include "engine/parallel/mpi_version.hpp"

namespace troupe::engine {

std::unique_ptr<world> mpi_world(int ranks, std::chrono::milliseconds /*deadline*/) {
  throw error(errc::unsupported,
              "{} ranks: this program was built without MPI; build it with TROUPE_MPI=ON, or use one rank", ranks);
}

std::string mpi_version() { return "none"; }

}  // namespace troupe::engine
