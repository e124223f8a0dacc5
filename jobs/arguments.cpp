#include "jobs/arguments.hpp"

#include "base/near_names.hpp"

#include <iostream>

namespace troupe {

namespace po = boost::program_options;

static std::vector<std::string> long_names(const po::options_description& options) {
  std::vector<std::string> names;
  for (const auto& option : options.options()) {
    names.push_back("--" + option->long_name());
  }
  return names;
}

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
  } catch (const po::unknown_option& failure) {
    throw usage_error("{}{} (see troupe {} --help)", failure.what(),
                      did_you_mean(failure.get_option_name(), long_names(all)), argv[0]);
  } catch (const po::error& failure) {
    throw usage_error("{} (see troupe {} --help)", failure.what(), argv[0]);
  }
  return true;
}

void require_threads(int64_t threads) {
  if (threads < 0) {
    throw usage_error("--threads is {}: 0 takes all cores", threads);
  }
}

std::string required_argument(const po::variables_map& values, const std::string& name) {
  if (!values.contains(name)) {
    throw usage_error("{} is missing (see --help)", name);
  }
  return values[name].as<std::string>();
}

}  // namespace troupe
