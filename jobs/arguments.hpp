/// Command-line arguments of the commands.
#pragma once

#include <boost/program_options.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// Parses `options` and positional arguments of the given names, in their order. Where --help is among them, prints
/// `usage` (its first line says how to call the command) and the options, and returns false.
/// Errors  bad_argument: an unknown or malformed option, or one too many positional arguments.
bool parse_arguments(int argc, char** argv, std::string_view usage,
                     const boost::program_options::options_description& options,
                     const std::vector<std::string>& positional, boost::program_options::variables_map& values);

/// The value of a positional argument. Errors  bad_argument: it is missing.
std::string required_argument(const boost::program_options::variables_map& values, const std::string& name);

}  // namespace troupe
