# The libraries of base, kernels and engine from a folder that tests/gpu/bundle.sh has made, for a machine that has a
# compiler, CMake and the CUDA toolkit, and nothing else. Its MPI, CAF and io are not needed there.
include_guard()
find_package(Threads REQUIRED)
foreach(library fmt::fmt=fmt PkgConfig::xxhash=xxhash PkgConfig::hwy=hwy)
  string(REGEX MATCH "(.*)=(.*)" library ${library})
  file(GLOB file ${TROUPE_BUNDLED}/lib/lib${CMAKE_MATCH_2}.so.*)
  add_library(${CMAKE_MATCH_1} SHARED IMPORTED GLOBAL)
  set_target_properties(${CMAKE_MATCH_1} PROPERTIES IMPORTED_LOCATION ${file}
    INTERFACE_INCLUDE_DIRECTORIES ${TROUPE_BUNDLED}/include)
endforeach()
set(RANDOM123_INCLUDE_DIR ${TROUPE_BUNDLED}/include)
