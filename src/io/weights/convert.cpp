#include "io/weights/convert.hpp"

#include "base/error.hpp"
#include "io/files/mapped_file.hpp"
#include "io/files/paths.hpp"
#include "io/weights/array_types.hpp"
#include "io/weights/gguf_model.hpp"
#include "io/weights/model_folder.hpp"
#include "io/weights/model_target.hpp"

#include <memory>
#include <span>
#include <string>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

/// Floating-point tensors become `type`; the others stay. Returns the number of values.
int64_t set_types(std::vector<tensor_shape>& tensors, dtype type) {
  int64_t parameters = 0;
  for (tensor_shape& tensor : tensors) {
    parameters += tensor.bytes() / size_of(tensor.type);
    if (is_floating(tensor.type)) {
      tensor.type = type;
    }
  }
  return parameters;
}

tensor_producer produce(const std::vector<tensor_shape>& tensors, const array_finder& find) {
  return [&tensors, &find](const std::function<void(host_array)>& sink) {
    for (const tensor_shape& tensor : tensors) {
      sink(find(tensor.name).value());
    }
  };
}

model_folder_contents contents_of_gguf(const fs::path& source, array_finder& find) {
  imported_model model = import_gguf(std::make_shared<gguf_file>(gguf_file::open(source)));
  find = std::move(model.find);
  model_folder_contents contents;
  contents.config_json = std::move(model.config_json);
  contents.generation_config_json = std::move(model.generation_config_json);
  contents.tensors = std::move(model.tensors);
  contents.further_files = std::move(model.tokenizer_files);
  return contents;
}

model_folder_contents contents_of_folder(const fs::path& source, array_finder& find) {
  const model_folder model = model_folder::open(source);
  find = model.finder();
  model_folder_contents contents;
  contents.config_json = model.config_json();
  if (is_there(source / "generation_config.json")) {
    contents.generation_config_json = read_text_file(source / "generation_config.json");
  }
  for (const std::string& name : model.tensor_names()) {
    const host_array array = *model.find(name);
    contents.tensors.push_back({name, array.type, array.shape});
  }
  contents.tokenizer_source = source;
  return contents;
}

}  // namespace

conversion_report convert_model(const fs::path& source, const fs::path& target, dtype type, bool overwrite) {
  if (type != dtype::f32 && type != dtype::bf16 && type != dtype::f16) {
    throw error(errc::bad_argument, "models are written as f32, bf16 or f16, not {}", to_string(type));
  }
  if (!is_there(source)) {
    throw error(errc::not_found, "{}: no such model (a GGUF file or a folder)", source.string());
  }
  const fs::path place = model_target(target, std::span(&source, 1), overwrite);
  array_finder find;
  model_folder_contents contents =
      is_folder(source) ? contents_of_folder(source, find) : contents_of_gguf(source, find);
  conversion_report report;
  report.tensors = static_cast<int64_t>(contents.tensors.size());
  report.parameters = set_types(contents.tensors, type);
  contents.config_json = typed_config(contents.config_json, torch_type_name(type));
  contents.producer = produce(contents.tensors, find);
  write_model_folder(place, contents);
  return report;
}

}  // namespace troupe::io
