/// troupe inspect PATH [--json]: what a model folder, checkpoint, experience file or run holds.
#include "io/inspect.hpp"

#include "jobs/commands.hpp"
#include "kernels/base/error.hpp"

#include <boost/program_options.hpp>

#include <iostream>
#include <string>

namespace troupe {

namespace po = boost::program_options;

int inspect_command(int argc, char** argv) {
  std::string path;
  po::options_description options("Options");
  options.add_options()("help,h", "this text")("json", "one JSON object on one line");
  po::options_description all;
  all.add(options).add_options()("path", po::value(&path));
  po::positional_options_description places;
  places.add("path", 1);
  po::variables_map values;
  try {
    po::store(po::command_line_parser(argc, argv).options(all).positional(places).run(), values);
    po::notify(values);
  } catch (const po::error& failure) {
    throw error(errc::bad_argument, "troupe inspect: {} (see troupe inspect --help)",
                failure.what());
  }
  if (values.contains("help")) {
    std::cout << "troupe inspect PATH [options]\n\n"
                 "Describes a model folder, a checkpoint, an experience file or a run. Checkpoints "
                 "and experience\nare verified against their digests first.\n\n"
              << options;
    return 0;
  }
  if (path.empty()) {
    throw error(errc::bad_argument, "troupe inspect needs PATH (see troupe inspect --help)");
  }
  std::cout << io::describe(path, values.contains("json"));
  return 0;
}

}  // namespace troupe
