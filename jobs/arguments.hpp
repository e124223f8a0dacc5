/// Command-line arguments of the commands.
#pragma once

#include "base/error.hpp"

#include <boost/program_options.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe {

/// The command line or the job file makes no sense, and the text says where: the program ends with exit_usage.
class usage_error : public error {
public:
  template <class... Args>
  explicit usage_error(fmt::format_string<Args...> format, Args&&... args)
      : error(errc::bad_argument, format, std::forward<Args>(args)...) {}
};

/// Calls `read`, which reads what the user wrote, and returns what it returns.
/// Errors  usage_error, with the text of whatever error `read` throws.
template <class Read> auto from_user(const Read& read) {
  try {
    return read();
  } catch (const error& failure) {
    throw usage_error("{}", failure.what());
  }
}

/// Parses `options` and positional arguments of the given names, in their order. Where --help is among them, prints
/// `usage` (its first line says how to call the command) and the options, and returns false.
/// Errors  usage_error: an unknown or malformed option, or one too many positional arguments.
bool parse_arguments(int argc, char** argv, std::string_view usage,
                     const boost::program_options::options_description& options,
                     const std::vector<std::string>& positional, boost::program_options::variables_map& values);

/// That --threads makes sense.
/// Errors  usage_error.
void require_threads(int64_t threads);

/// The value of a positional argument.
/// Errors  usage_error: it is missing.
std::string required_argument(const boost::program_options::variables_map& values, const std::string& name);

}  // namespace troupe
