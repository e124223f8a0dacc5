// From the value that a pickle ends with to the tensors that it describes, checked against their storages.
#include "base/error.hpp"
#include "io/weights/pickle/machine.hpp"
#include "io/weights/pickle/pickle.hpp"

#include <set>

namespace troupe::io {
namespace {

// Real ones are far below: these bound what a hostile pickle can cost (some 100 bytes of memory for
// each of its own).
constexpr size_t longest_pickle_bytes = size_t{32} << 20;
constexpr size_t most_dimensions = 64;

std::vector<int64_t> integers_of(const pickle::stack& values, pickle::reference tuple) {
  const std::vector<pickle::reference>& items = values.expect(tuple, pickle::kind::tuple).items;
  values.require(items.size() <= most_dimensions, "has a tensor of more than 64 dimensions");
  std::vector<int64_t> integers;
  integers.reserve(items.size());
  for (const pickle::reference item : items) {
    integers.push_back(values.integer_of(item));
  }
  return integers;
}

bool fits(const pickled_tensor& tensor) {
  if (tensor.shape.size() != tensor.stride.size() || tensor.offset < 0 || tensor.offset > tensor.storage_elements) {
    return false;
  }
  int64_t elements = 1;
  int64_t last = tensor.offset;  // the highest element touched
  for (size_t d = 0; d < tensor.shape.size(); ++d) {
    const int64_t extent = tensor.shape[d];
    int64_t reach = 0;
    if (extent < 0 || tensor.stride[d] < 0 || __builtin_mul_overflow(elements, extent, &elements) ||
        (extent > 0 && (__builtin_mul_overflow(extent - 1, tensor.stride[d], &reach) ||
                        __builtin_add_overflow(last, reach, &last)))) {
      return false;
    }
  }
  return elements == 0 || (last < tensor.storage_elements && elements <= tensor.storage_elements);
}

pickled_tensor tensor_of(const pickle::stack& values, std::string_view name, const pickle::value& tensor) {
  const pickle::value& storage = values[tensor.items[0]];
  pickled_tensor result{.name = std::string(name),
                        .type = storage.type,
                        .storage_key = std::string(storage.text),
                        .storage_elements = storage.integer,
                        .offset = tensor.integer,
                        .shape = integers_of(values, tensor.items[1]),
                        .stride = integers_of(values, tensor.items[2])};
  if (!fits(result)) {
    throw error(errc::bad_file,
                "{}: tensor {} (shape [{}], stride [{}], offset {}) does not fit its storage of "
                "{} elements",
                values.where(), excerpt(name), fmt::join(result.shape, ", "), fmt::join(result.stride, ", "),
                result.offset, result.storage_elements);
  }
  return result;
}

std::vector<pickled_tensor> collect(const pickle::stack& values, pickle::reference root) {
  const pickle::value& dictionary = values[root];
  if (dictionary.what != pickle::kind::dictionary) {
    throw error(errc::unsupported, "{}: holds {}, not a dictionary of tensors (a state_dict)", values.where(),
                to_string(dictionary.what));
  }
  std::vector<pickled_tensor> tensors;
  std::set<std::string_view> names;
  for (size_t i = 0; i < dictionary.items.size(); i += 2) {
    const std::string_view name = values.text_of(dictionary.items[i]);
    const pickle::value& tensor = values[dictionary.items[i + 1]];
    if (tensor.what != pickle::kind::tensor) {
      throw error(errc::unsupported, "{}: the value of \"{}\" is {}, not a tensor: save the model's state_dict alone",
                  values.where(), excerpt(name), to_string(tensor.what));
    }
    if (!names.insert(name).second) {
      throw error(errc::bad_file, "{}: tensor {} occurs twice", values.where(), excerpt(name));
    }
    tensors.push_back(tensor_of(values, name, tensor));
  }
  return tensors;
}

}  // namespace

int64_t pickled_tensor::elements() const {
  int64_t n = 1;
  for (const int64_t extent : shape) {
    n *= extent;
  }
  return n;
}

bool pickled_tensor::contiguous() const {
  if (elements() == 0) {
    return true;
  }
  int64_t expected = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    if (shape[d] != 1 && stride[d] != expected) {
      return false;
    }
    expected *= shape[d];
  }
  return true;
}

std::vector<pickled_tensor> read_tensor_pickle(std::span<const std::byte> bytes, const std::string& where) {
  if (bytes.size() > longest_pickle_bytes) {
    throw error(errc::unsupported, "{}: a pickle of {} bytes, the limit for a description of tensors is {}", where,
                bytes.size(), longest_pickle_bytes);
  }
  byte_reader in(bytes, where);
  pickle::stack values(in);
  return collect(values, pickle::run(in, values));
}

}  // namespace troupe::io
