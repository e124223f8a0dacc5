#include "io/weights/pickle/torch.hpp"

#include "base/error.hpp"

namespace troupe::io::pickle {
namespace {

constexpr size_t longest_storage_key = 255;
constexpr size_t most_arguments = 7;  // of _rebuild_tensor_v2

/// (storage, offset, shape, stride, requires_grad, hooks[, metadata])
void rebuild_tensor(stack& values, const std::vector<reference>& arguments) {
  values.require(arguments.size() == 6 || arguments.size() == 7,
                 "calls _rebuild_tensor_v2 with other than 6 or 7 values");
  values.require(arguments.size() == 6 || values[arguments[6]].what == kind::none, "has a tensor with metadata");
  values.expect(arguments[0], kind::storage);
  values.push({.what = kind::tensor,
               .integer = values.integer_of(arguments[1]),
               .items = {arguments[0], arguments[2], arguments[3]}});
}

/// (tensor, requires_grad, hooks): the tensor itself is all that matters.
void rebuild_parameter(stack& values, const std::vector<reference>& arguments) {
  values.require(arguments.size() == 3, "calls _rebuild_parameter with other than 3 values");
  values.expect(arguments[0], kind::tensor);
  values.push_again(arguments[0]);
}

}  // namespace

void push_global(stack& values, std::string_view module, std::string_view name) {
  const global* known = find_global(module, name);
  if (known == nullptr) {
    throw error(errc::unsupported,
                "{}: the pickle asks for {}.{} at byte {}, which tensors do not need: refused, nothing was run. Save "
                "the model's state_dict as safetensors instead.",
                values.where(), excerpt(module), excerpt(name), values.opcode_at());
  }
  values.push({.what = known->what, .type = known->type});
}

/// ('storage', class, key, location, elements)
void push_storage(stack& values) {
  const value& id = values.expect(values.pop(), kind::tuple);
  values.require(id.items.size() == 5 && values.text_of(id.items[0]) == "storage",
                 "has a persistent id that is no storage");
  const value& type = values.expect(id.items[1], kind::storage_class);
  const std::string_view key = values.text_of(id.items[2]);
  values.require(key.size() <= longest_storage_key, "has a storage key of more than 255 bytes");
  const int64_t elements = values.integer_of(id.items[4]);
  values.require(elements >= 0, "has a storage of negative size");
  values.push({.what = kind::storage, .type = type.type, .integer = elements, .text = key});
}

void call_function(stack& values, reference function, reference arguments) {
  // Checked before the copy: a long tuple recalled over and over would cost its length each time.
  values.require(values.expect(arguments, kind::tuple).items.size() <= most_arguments,
                 "calls a function with more than 7 values");
  const std::vector<reference> given = values[arguments].items;
  switch (values[function].what) {
  case kind::rebuild_tensor:
    rebuild_tensor(values, given);
    return;
  case kind::rebuild_parameter:
    rebuild_parameter(values, given);
    return;
  case kind::ordered_dictionary_class:
    values.require(given.empty(), "makes an OrderedDict with arguments");
    values.push({.what = kind::dictionary});
    return;
  default:
    throw error(errc::unsupported, "{}: the pickle calls {} at byte {}: refused", values.where(),
                to_string(values[function].what), values.opcode_at());
  }
}

void set_attributes(stack& values) {
  values.expect(values.pop(), kind::dictionary);
  values.expect(values.top(), kind::dictionary);
}

}  // namespace troupe::io::pickle
