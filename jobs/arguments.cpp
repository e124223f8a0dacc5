#include "jobs/arguments.hpp"

#include <iostream>

namespace troupe {

namespace po = boost::program_options;

bool parse_arguments(int argc, char** argv, std::string_view usage, const po::options_description& options,
                     const std::vector<std::string>& positional, po::variables_map& values) {
  po::options_description all;
  all.add(options).add_options()("help,h", "this text");
  po::positional_options_description places;
  po::options_description hidden;
  for (const std::string& name : positional) {
    hidden.add_options()(name.c_str(), po::value<std::string>());
    places.add(name.c_str(), 1);
  }
  po::options_description accepted;
  accepted.add(all).add(hidden);
  try {
    po::store(po::command_line_parser(argc, argv).options(accepted).positional(places).run(), values);
    if (values.contains("help")) {
      std::cout << usage << "\n" << all;
      return false;
    }
    po::notify(values);
  } catch (const po::error& failure) {
    throw usage_error("{} (see troupe {} --help)", failure.what(), argv[0]);
  }
  return true;
}

std::string required_argument(const po::variables_map& values, const std::string& name) {
  if (!values.contains(name)) {
    throw usage_error("{} is missing (see --help)", name);
  }
  return values[name].as<std::string>();
}

}  // namespace troupe
