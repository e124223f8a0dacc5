#include "jobs/dtype_option.hpp"

#include "jobs/arguments.hpp"

#include <string>

namespace troupe {

void add_dtype_option(boost::program_options::options_description& options, dtype& chosen) {
  namespace po = boost::program_options;
  const auto choose = [&chosen](const std::string& name) {
    if (name != to_string(dtype::f32) && name != to_string(dtype::bf16)) {
      throw usage_error("--dtype is \"{}\": weights are f32 or bf16 in memory", name);
    }
    chosen = name == to_string(dtype::bf16) ? dtype::bf16 : dtype::f32;
  };
  options.add_options()("dtype",
                        po::value<std::string>()->default_value("f32")->value_name("f32|bf16")->notifier(choose),
                        "type of the weights in memory; bf16: half the bytes, which are rounded unless the files are "
                        "bf16");
}

}  // namespace troupe
