#include "base/error.hpp"

namespace troupe {

const char* to_string(errc code) {
  switch (code) {
  case errc::bad_argument:
    return "bad_argument";
  case errc::shape_mismatch:
    return "shape_mismatch";
  case errc::bad_file:
    return "bad_file";
  case errc::not_found:
    return "not_found";
  case errc::io_failure:
    return "io_failure";
  case errc::unsupported:
    return "unsupported";
  case errc::not_finite:
    return "not_finite";
  case errc::not_exact:
    return "not_exact";
  case errc::out_of_memory:
    return "out_of_memory";
  case errc::lost_peer:
    return "lost_peer";
  case errc::interrupted:
    return "interrupted";
  case errc::device_failure:
    return "device_failure";
  }
  return "unknown";
}

}  // namespace troupe
