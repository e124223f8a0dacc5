/// The one exception type of Troupe. Its text names what is wrong, where, with which values, and what to do.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace troupe {

enum class errc {
  bad_argument,    ///< a value that the caller or user chose is out of range or contradictory
  shape_mismatch,  ///< tensor shapes do not agree
  bad_file,        ///< a file is malformed, truncated or fails its checksum
  not_found,       ///< a file, tensor or key that must exist does not
  io_failure,      ///< the operating system refused: disk full, permission, ...
  unsupported,     ///< valid, but not something that Troupe handles
  not_finite,      ///< a loss or norm is NaN or infinite
  not_exact,       ///< numbers that must be equal to the last bit differ
  out_of_memory,
  lost_peer,       ///< a process that this one depends on is gone
  interrupted,     ///< stopped on request
  device_failure,  ///< a card, its driver or a kernel on it
};

/// The enumerator's own name, for logs and messages.
const char* to_string(errc code);

class error : public std::runtime_error {
public:
  error(errc code, const std::string& text) : std::runtime_error(text), code_(code) {}

  template <class... Args>
  error(errc code, fmt::format_string<Args...> format, Args&&... args)
      : error(code, fmt::format(format, std::forward<Args>(args)...)) {}

  errc code() const { return code_; }

private:
  errc code_;
};

}  // namespace troupe
