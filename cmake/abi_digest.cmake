# cmake -DHEADERS=a.hpp,b.hpp -DBUILT_BY=... -DSOURCE=x.cpp -P abi_digest.cmake: writes the source of
# kernels::device_module_abi(), a digest of the headers and of what compiles them. The source stays as it is where the
# digest has not changed.
cmake_minimum_required(VERSION 3.25)
string(REPLACE "," ";" HEADERS "${HEADERS}")
set(all "${BUILT_BY}")
foreach(header ${HEADERS})
  file(SHA256 ${header} one)
  get_filename_component(name ${header} NAME)
  string(APPEND all " ${name} ${one}")
endforeach()
string(SHA256 digest "${all}")
string(SUBSTRING ${digest} 0 16 digest)
file(CONFIGURE OUTPUT ${SOURCE} @ONLY CONTENT "#include \"kernels/device_module.hpp\"

uint64_t troupe::kernels::device_module_abi() { return 0x@digest@; }
")
