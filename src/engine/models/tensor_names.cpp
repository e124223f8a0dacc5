#include "engine/models/tensor_names.hpp"

#include "base/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace troupe::engine {

namespace {

const model_family& family_of(const inference_model& net) {
  if (net.description().family == nullptr) {
    throw error(errc::bad_argument, "a model whose description names no family has no names for its tensors in files");
  }
  return *net.description().family;
}

void choose_rows(file_tensor& tensor, module_part which, const model_description& d, int64_t all_rows) {
  const int64_t queries = d.heads * d.head_width;
  const int64_t keys = d.kv_heads * d.head_width;
  switch (which) {
  case module_part::whole:
  case module_part::transposed:
  case module_part::by_head:
    tensor.rows = all_rows;
    break;
  case module_part::query:
    tensor.rows = queries;
    break;
  case module_part::key:
    tensor.first_row = queries;
    tensor.rows = keys;
    break;
  case module_part::value:
    tensor.first_row = queries + keys;
    tensor.rows = keys;
    break;
  case module_part::gate:
    tensor.rows = d.feed_forward;
    break;
  case module_part::up:
    tensor.first_row = d.feed_forward;
    tensor.rows = d.feed_forward;
    break;
  }
}

file_tensor make_tensor(std::string name, const parameter& p, int64_t index, module_part which,
                        const model_description& d) {
  file_tensor tensor{.name = std::move(name), .parameter = index};
  tensor.columns = p.is_matrix() ? p.shape[1] : 1;
  choose_rows(tensor, which, d, p.shape[0]);
  if (which == module_part::by_head) {
    tensor.order = row_order::by_head;
    tensor.heads = d.heads;
  }
  tensor.shape = {tensor.rows};
  if (p.is_matrix()) {
    tensor.shape.push_back(tensor.columns);
    if (which == module_part::transposed) {
      tensor.order = row_order::transposed;
      std::swap(tensor.shape[0], tensor.shape[1]);
    }
  }
  return tensor;
}

/// Collects tensors by walking the modules of the file; those that the model has no parameter for
/// are left out.
class tensor_list {
public:
  explicit tensor_list(const inference_model& net) : net_(net) {
    const auto all = net.layout().all();
    for (size_t i = 0; i < all.size(); ++i) {
      index_.emplace(all[i].name, static_cast<int64_t>(i));
    }
  }

  void add(const std::string& in_file, const std::string& logical, module_part which) {
    if (const auto found = index_.find(logical); found != index_.end()) {
      const parameter& p = net_.layout()[found->second];
      tensors_.push_back(make_tensor(in_file, p, found->second, which, net_.description()));
    }
  }

  void add_module(const std::string& file_prefix, const std::string& logical_prefix, const module_name& module) {
    for (const char* leaf : {".weight", ".bias"}) {
      add(file_prefix + module.in_file + leaf, logical_prefix + module.parameter + leaf, module.part);
    }
  }

  /// Errors  unsupported: a parameter has rows that no tensor holds, so that the model could not be saved.
  std::vector<file_tensor> take() {
    std::stable_sort(tensors_.begin(), tensors_.end(),
                     [](const file_tensor& a, const file_tensor& b) { return a.parameter < b.parameter; });
    require_all_rows();
    return std::move(tensors_);
  }

private:
  void require_all_rows() const {
    std::vector<int64_t> rows(net_.layout().all().size());
    for (const file_tensor& tensor : tensors_) {
      rows[static_cast<size_t>(tensor.parameter)] += tensor.rows;
    }
    for (size_t i = 0; i < rows.size(); ++i) {
      const parameter& p = net_.layout().all()[i];
      if (rows[i] != p.shape[0]) {
        throw error(errc::unsupported, "files of the family {} have names for {} of the {} rows of {}",
                    family_of(net_).type, rows[i], p.shape[0], p.name);
      }
    }
  }

  const inference_model& net_;
  std::map<std::string, int64_t, std::less<>> index_;
  std::vector<file_tensor> tensors_;
};

/// Row of the file that holds row `row` of the parameter's range.
int64_t row_in_file(const file_tensor& tensor, int64_t row) {
  if (tensor.order != row_order::by_head) {
    return row;
  }
  const int64_t third = tensor.rows / 3;
  const int64_t head_width = third / tensor.heads;
  const int64_t which = row / third;  // query, key, value
  const int64_t head = row % third / head_width;
  return (head * 3 + which) * head_width + row % head_width;
}

}  // namespace

std::vector<file_tensor> file_tensors(const inference_model& net) {
  const tensor_naming& names = family_of(net).tensors;
  tensor_list list(net);
  for (const module_name& module : names.trunk) {
    list.add_module(std::string(names.prefix), "", module);
  }
  for (int64_t layer = 0; layer < net.description().layers; ++layer) {
    for (const module_name& module : names.in_block) {
      list.add_module(fmt::format("{}{}{}.", names.prefix, names.block, layer), fmt::format("layers.{}.", layer),
                      module);
    }
  }
  list.add(std::string(names.head), "head.weight", module_part::whole);
  list.add("score.weight", "score.weight", module_part::whole);
  return list.take();
}

bool is_parameterless_buffer(const model_family& family, std::string_view name) {
  const auto& endings = family.tensors.buffer_endings;
  return std::any_of(endings.begin(), endings.end(), [&](std::string_view ending) { return name.ends_with(ending); });
}

void place_rows(const file_tensor& tensor, std::span<const float> file_values, std::span<float> parameter_values) {
  for (int64_t row = 0; row < tensor.rows; ++row) {
    float* to = parameter_values.data() + (tensor.first_row + row) * tensor.columns;
    if (tensor.order == row_order::transposed) {
      for (int64_t column = 0; column < tensor.columns; ++column) {
        to[column] = file_values[static_cast<size_t>(column * tensor.rows + row)];
      }
    } else {
      std::copy_n(file_values.data() + row_in_file(tensor, row) * tensor.columns, tensor.columns, to);
    }
  }
}

std::vector<float> extract_rows(const file_tensor& tensor, std::span<const float> parameter_values) {
  std::vector<float> file_values(static_cast<size_t>(tensor.rows * tensor.columns));
  for (int64_t row = 0; row < tensor.rows; ++row) {
    const float* from = parameter_values.data() + (tensor.first_row + row) * tensor.columns;
    if (tensor.order == row_order::transposed) {
      for (int64_t column = 0; column < tensor.columns; ++column) {
        file_values[static_cast<size_t>(column * tensor.rows + row)] = from[column];
      }
    } else {
      std::copy_n(from, tensor.columns, file_values.data() + row_in_file(tensor, row) * tensor.columns);
    }
  }
  return file_values;
}

}  // namespace troupe::engine
