# `cpack` (make package): troupe_VERSION_ARCH.deb with the program, libtroupe-dev_VERSION_ARCH.deb with the libraries.
# What the program depends on is found by dpkg-shlibdeps; the libraries are static, so that their users need what they
# were built with.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME troupe)
set(CPACK_PACKAGE_VENDOR "The Troupe authors")
set(CPACK_PACKAGE_CONTACT "The Troupe authors <troupe@example.org>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_INSTALL_DIRECTORY troupe)
set(CPACK_COMPONENTS_ALL program development)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME troupe)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_RECOMMENDS "openmpi-bin")  # mpirun, for runs of several ranks
set(CPACK_COMPONENT_PROGRAM_DESCRIPTION
  "Supervised fine-tuning, reward model, PPO and chat; runs survive whatever dies.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libtroupe-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
string(JOIN ", " CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS libfmt-dev libxxhash-dev libhwy-dev libopenmpi-dev
  libhdf5-dev libboost-program-options-dev nlohmann-json3-dev zlib1g-dev libpcre2-dev libutf8proc-dev
  libsentencepiece-dev pkg-config)
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "Troupe's engine as static libraries, with headers and a CMake package.")
include(CPack)
