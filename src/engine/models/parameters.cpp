#include "engine/models/parameters.hpp"

#include "kernels/base/error.hpp"
#include "kernels/matrix.hpp"

#include <algorithm>

namespace troupe::engine {

/// Every parameter starts on a cache line.
static constexpr int64_t alignment_floats = 16;

static int64_t append(std::vector<parameter>& parameters, int64_t& arena_size, parameter p) {
  p.offset = arena_size;
  arena_size += (p.size + alignment_floats - 1) / alignment_floats * alignment_floats;
  parameters.push_back(std::move(p));
  return static_cast<int64_t>(parameters.size()) - 1;
}

int64_t parameter_layout::add_matrix(std::string name, int64_t outputs, int64_t inputs) {
  return append(parameters_, arena_size_,
                {.name = std::move(name),
                 .shape = {outputs, inputs},
                 .size = kernels::panels_size(outputs, inputs),
                 .decays = true});
}

int64_t parameter_layout::add_vector(std::string name, int64_t size) {
  return append(parameters_, arena_size_, {.name = std::move(name), .shape = {size}, .size = size, .decays = false});
}

const parameter& parameter_layout::at(std::string_view name) const {
  const auto found =
      std::find_if(parameters_.begin(), parameters_.end(), [&](const parameter& p) { return p.name == name; });
  if (found == parameters_.end()) {
    throw error(errc::not_found, "the model has no parameter named {}", name);
  }
  return *found;
}

static int64_t logical_elements(const parameter& p) {
  int64_t count = 1;
  for (const int64_t extent : p.shape) {
    count *= extent;
  }
  return count;
}

int64_t parameter_layout::parameter_count() const {
  int64_t count = 0;
  for (const parameter& p : parameters_) {
    count += logical_elements(p);
  }
  return count;
}

std::vector<float> read_parameter(const parameter& p, const float* arena) {
  std::vector<float> values(static_cast<size_t>(logical_elements(p)));
  if (p.is_matrix()) {
    kernels::from_panels(arena + p.offset, p.shape[0], p.shape[1], values.data());
  } else {
    std::copy_n(arena + p.offset, p.size, values.data());
  }
  return values;
}

void write_parameter(const parameter& p, std::span<const float> values, float* arena) {
  if (static_cast<int64_t>(values.size()) != logical_elements(p)) {
    throw error(errc::shape_mismatch, "{} values were given for parameter {}, which has {}", values.size(), p.name,
                logical_elements(p));
  }
  if (p.is_matrix()) {
    kernels::to_panels(values.data(), p.shape[0], p.shape[1], arena + p.offset);
  } else {
    std::copy(values.begin(), values.end(), arena + p.offset);
  }
}

}  // namespace troupe::engine
