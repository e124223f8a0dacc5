# cmake -DSOURCE=... -DHEADER=... -P build_name.cmake: writes what the sources are called by git into a header; an empty
# name where there is no repository. The header stays as it is where the name has not changed.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=10
  OUTPUT_VARIABLE name OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(name "")
endif()
file(CONFIGURE OUTPUT ${HEADER} CONTENT "inline constexpr const char* troupe_build_name = \"@name@\";\n" @ONLY)
