/// Command-line arguments of the commands.
#pragma once

#include "base/error.hpp"

#include <boost/program_options.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe {

/// What the user wrote on the command line, or in a job file, cannot be meant: the program ends with exit_usage.
class usage_error : public error {
public:
  template <class... Args>
  explicit usage_error(fmt::format_string<Args...> format, Args&&... args)
      : error(errc::bad_argument, format, std::forward<Args>(args)...) {}
};

/// What `read` makes of what the user wrote.
/// Errors  usage_error: any that it reports.
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

/// The value of a positional argument.
/// Errors  usage_error: it is missing.
std::string required_argument(const boost::program_options::variables_map& values, const std::string& name);

}  // namespace troupe
