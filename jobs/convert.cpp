// troupe convert SOURCE TARGET: any model that Troupe reads, as a Hugging Face folder.
#include "io/weights/convert.hpp"

#include "actors/models/checkpoint_model.hpp"
#include "base/error.hpp"
#include "base/printable.hpp"
#include "io/weights/array_types.hpp"
#include "io/weights/model_folder.hpp"
#include "jobs/arguments.hpp"
#include "jobs/commands.hpp"
#include "jobs/tidy_interrupt.hpp"

#include <fmt/format.h>

#include <string>

namespace troupe {

namespace po = boost::program_options;

namespace {

io::conversion_report convert_checkpoint(const std::string& source, std::string name, const std::string& target,
                                         dtype type, bool overwrite) {
  if (name.empty()) {
    name = actors::models_in(source).front();
  }
  const actors::model_ptr saved = actors::save_checkpointed(source, name, target, type, overwrite);
  return {.tensors = static_cast<int64_t>(io::model_folder::open(target).tensor_names().size()),
          .parameters = saved->net.layout().parameter_count()};
}

}  // namespace

int convert_command(int argc, char** argv) {
  std::string type;
  std::string name;
  po::options_description options("Options");
  options.add_options()("dtype", po::value(&type)->default_value("f32")->value_name("f32|bf16|f16"),
                        "type of the weights")("model", po::value(&name)->value_name("policy|policy-ema|critic|reward"),
                                               "of a checkpoint (the phase's own)")(
      "overwrite", "TARGET may be an older model folder, which is replaced as a whole");
  po::variables_map values;
  if (!parse_arguments(
          argc, argv,
          "troupe convert SOURCE TARGET [options]\n\n"
          "Writes the model SOURCE (a GGUF file of the llama or qwen2 architecture, or a model folder with\n"
          "safetensors or pytorch_model.bin, or a checkpoint in its run: RUN/checkpoints/PHASE/update-000030) as a\n"
          "Hugging Face folder TARGET, which must not be there yet (but see --overwrite).\n",
          options, {"SOURCE", "TARGET"}, values)) {
    return exit_ok;
  }
  const std::string source = required_argument(values, "SOURCE");
  const std::string target = required_argument(values, "TARGET");
  const dtype wanted = from_user([&] { return io::parse_float_type(type); });
  const bool overwrite = values.contains("overwrite");
  const bool checkpoint = actors::is_checkpoint(source);
  if (!name.empty() && !checkpoint) {
    throw error(errc::bad_argument, "--model {}: {} is no checkpoint, and holds one model", name, source);
  }
  const tidy_interrupt tidy;
  const io::conversion_report report = checkpoint ? convert_checkpoint(source, name, target, wanted, overwrite)
                                                  : io::convert_model(source, target, wanted, overwrite);
  fmt::print("{}: {} tensors, {} parameters, {}\n", printable(target), report.tensors, report.parameters, type);
  return exit_ok;
}

}  // namespace troupe
