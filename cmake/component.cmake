# troupe_component(NAME HEADERS...): makes the library troupe_NAME of this folder, as Troupe::NAME, one that others can
# link: from an installed Troupe by find_package(Troupe COMPONENTS NAME), or by add_subdirectory. HEADERS are those that
# they may include, by the same paths as our own sources do: "engine/generate/generator.hpp".
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(TROUPE_PACKAGE_FOLDER ${CMAKE_INSTALL_LIBDIR}/cmake/Troupe)

function(troupe_component name)
  set(library troupe_${name})
  add_library(Troupe::${name} ALIAS ${library})
  set_target_properties(${library} PROPERTIES EXPORT_NAME ${name})
  target_compile_features(${library} PUBLIC cxx_std_20)
  target_include_directories(${library} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>)
  target_sources(${library} PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/src FILES ${ARGN})
  if(TROUPE_INSTALL)
    install(TARGETS ${library} EXPORT Troupe_${name} COMPONENT development
      ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/troupe)
    install(EXPORT Troupe_${name} NAMESPACE Troupe:: FILE Troupe_${name}.cmake COMPONENT development
      DESTINATION ${TROUPE_PACKAGE_FOLDER})
  endif()
endfunction()

# What find_package(Troupe) reads.
function(troupe_package)
  configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/TroupeConfig.cmake.in
    ${PROJECT_BINARY_DIR}/TroupeConfig.cmake INSTALL_DESTINATION ${TROUPE_PACKAGE_FOLDER} NO_SET_AND_CHECK_MACRO)
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/TroupeConfigVersion.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/TroupeConfig.cmake ${PROJECT_BINARY_DIR}/TroupeConfigVersion.cmake
    ${PROJECT_SOURCE_DIR}/cmake/libraries.cmake
    DESTINATION ${TROUPE_PACKAGE_FOLDER} COMPONENT development)
endfunction()
