# The CUDA compiler, for machine code of Ampere and Hopper (8.x and 9.0): nothing is compiled on the way to a card, so
# that what runs is what `make cuda` has looked at.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real)
endif()
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(TROUPE_NVCC nvcc HINTS /usr/local/cuda/bin REQUIRED)
  set(CMAKE_CUDA_COMPILER ${TROUPE_NVCC})
endif()
enable_language(CUDA)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc does
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()
set(CMAKE_CUDA_FLAGS_RELEASE "-O2")
find_package(CUDAToolkit 12.5 REQUIRED)
find_package(Python3 REQUIRED COMPONENTS Interpreter)
file(WRITE ${PROJECT_BINARY_DIR}/nvcc_version.txt "${CMAKE_CUDA_COMPILER_VERSION}\n")  # for cmake/kernel_resources.py
