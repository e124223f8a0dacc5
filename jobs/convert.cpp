/// troupe convert SOURCE TARGET: any model that Troupe reads as a Hugging Face folder with
/// safetensors.
#include "io/convert.hpp"

#include "io/array_types.hpp"
#include "jobs/commands.hpp"
#include "kernels/base/error.hpp"

#include <boost/program_options.hpp>
#include <fmt/format.h>

#include <iostream>
#include <string>

namespace troupe {

namespace po = boost::program_options;

int convert_command(int argc, char** argv) {
  std::string source, target, type;
  po::options_description options("Options");
  options.add_options()("help,h", "this text")("dtype", po::value(&type)->default_value("f32"),
                                               "type of the weights written: f32, bf16 or f16");
  po::options_description hidden;
  hidden.add_options()("source", po::value(&source))("target", po::value(&target));
  po::options_description all;
  all.add(options).add(hidden);
  po::positional_options_description places;
  places.add("source", 1).add("target", 1);

  po::variables_map values;
  try {
    po::store(po::command_line_parser(argc, argv).options(all).positional(places).run(), values);
    po::notify(values);
  } catch (const po::error& failure) {
    throw error(errc::bad_argument, "troupe convert: {} (see troupe convert --help)",
                failure.what());
  }
  if (values.contains("help")) {
    std::cout << "troupe convert SOURCE TARGET [options]\n\n"
                 "Writes the model SOURCE (a GGUF file of the llama or qwen2 architecture, or a "
                 "model folder with\n"
                 "safetensors or pytorch_model.bin) as a Hugging Face folder TARGET. An older "
                 "TARGET is replaced.\n\n"
              << options;
    return 0;
  }
  if (source.empty() || target.empty()) {
    throw error(errc::bad_argument,
                "troupe convert needs SOURCE and TARGET (see troupe convert --help)");
  }
  const io::conversion_report report =
      io::convert_model(source, target, io::parse_float_type(type));
  std::cout << fmt::format("{}: {} tensors, {} parameters, {}\n", target, report.tensors,
                           report.parameters, type);
  return 0;
}

} // namespace troupe
