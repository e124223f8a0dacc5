// troupe convert SOURCE TARGET: any model that Troupe reads, as a Hugging Face folder.
#include "io/convert.hpp"

#include "io/array_types.hpp"
#include "jobs/arguments.hpp"
#include "jobs/commands.hpp"

#include <fmt/format.h>

#include <string>

namespace troupe {

namespace po = boost::program_options;

int convert_command(int argc, char** argv) {
  std::string type;
  po::options_description options("Options");
  options.add_options()("dtype", po::value(&type)->default_value("f32"), "type of the weights: f32, bf16 or f16");
  po::variables_map values;
  if (!parse_arguments(
          argc, argv,
          "troupe convert SOURCE TARGET [options]\n\n"
          "Writes the model SOURCE (a GGUF file of the llama or qwen2 architecture, or a model folder with\n"
          "safetensors or pytorch_model.bin) as a Hugging Face folder TARGET. An older TARGET is replaced.\n",
          options, {"SOURCE", "TARGET"}, values)) {
    return exit_ok;
  }
  const std::string source = required_argument(values, "SOURCE");
  const std::string target = required_argument(values, "TARGET");
  const io::conversion_report report = io::convert_model(source, target, io::parse_float_type(type));
  fmt::print("{}: {} tensors, {} parameters, {}\n", target, report.tensors, report.parameters, type);
  return exit_ok;
}

}  // namespace troupe
