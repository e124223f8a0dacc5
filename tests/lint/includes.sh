#!/bin/bash
# The direction of the layers and the place of each library, by the #include lines:
#   base <- kernels <- engine <- actors <- jobs,   base <- io <- actors.
set -u
cd "$(dirname "$0")/../.."
failed=0

# forbid FOLDER PATTERN REASON [GREP-OPTIONS]: no file below FOLDER may include what matches PATTERN.
forbid() {
  local found
  found=$(grep -rnE "^#include [<\"]($2)" "$1" --include='*.hpp' --include='*.cpp' ${4:-})
  if [ -n "$found" ]; then
    printf '%s:\n%s\n' "$3" "$found"
    failed=1
  fi
}

forbid src/kernels/base 'io/|engine/|actors/|jobs/|kernels/[a-z_]+\.hpp' 'base knows nothing above it'
forbid src/kernels 'io/|engine/|actors/|jobs/' 'kernels know base only'
forbid src/engine 'io/|actors/|jobs/' 'engine never knows io, actors or jobs'
forbid src/io 'engine/|actors/|jobs/|kernels/[a-z_]+\.hpp|kernels/cpu/' 'io knows base only'
forbid src/actors 'jobs/|kernels/cpu/' 'actors never know jobs or the inside of kernels'

forbid src/kernels 'caf/|hdf5|nlohmann/|boost/|mpi' 'kernels use SIMD and base libraries only'
forbid src/engine 'caf/|hdf5|H5|nlohmann/|boost/|filesystem|fstream' 'engine: no CAF, no HDF5, no JSON, no files'
forbid src/io 'caf/|mpi|hwy/' 'io: no CAF, no MPI, no SIMD'
forbid src/actors 'hdf5|H5|nlohmann/|boost/|hwy/' 'actors: no HDF5, no JSON, no program options'
forbid src/actors 'mpi\.h' 'MPI stands behind engine/parallel'
forbid jobs 'mpi\.h' 'MPI stands behind engine/parallel'
forbid src/engine 'mpi\.h' 'MPI stands behind engine/parallel' '--exclude-dir=parallel'
forbid src/io 'hdf5\.h|H5' 'HDF5 stands behind io/hdf5/hdf5.hpp' '--exclude-dir=hdf5'

if [ "$failed" -eq 0 ]; then
  echo 'includes: the layers are in order'
fi
exit "$failed"
