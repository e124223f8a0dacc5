#include "engine/arena/parameters.hpp"

#include "base/copy_reals.hpp"
#include "base/error.hpp"
#include "base/round_up.hpp"
#include "kernels/matrix.hpp"

#include <algorithm>

namespace troupe::engine {

/// Every parameter starts on a cache line.
static constexpr int64_t alignment_floats = 16;

int64_t parameter_layout::append(parameter p) {
  p.offset = arena_size_;
  arena_size_ += round_up(p.size, alignment_floats);
  parameters_.push_back(std::move(p));
  return static_cast<int64_t>(parameters_.size()) - 1;
}

int64_t parameter_layout::add_matrix(std::string name, int64_t outputs, int64_t inputs, parameter_role role) {
  return append({.name = std::move(name),
                 .role = role,
                 .shape = {outputs, inputs},
                 .size = kernels::panels_size(outputs, inputs)});
}

int64_t parameter_layout::add_vector(std::string name, int64_t size, parameter_role role) {
  return append({.name = std::move(name), .role = role, .shape = {size}, .size = size});
}

std::vector<arena_range> parameter_layout::segments() const {
  std::vector<arena_range> found;
  for (const int64_t start : segment_starts_) {
    if (!found.empty()) {
      found.back().last = start;
    }
    found.push_back({start, arena_size_});
  }
  return found;
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

std::vector<float> read_rows(const parameter& p, int64_t rows, const_reals at) {
  const int64_t width = p.is_matrix() ? p.shape[1] : 1;
  std::vector<float> values(static_cast<size_t>(rows * width));
  if (p.is_matrix()) {
    kernels::from_panels(at, rows, width, values.data());
  } else {
    copy_reals(at, values);
  }
  return values;
}

void write_rows(const parameter& p, int64_t rows, std::span<const float> values, reals at) {
  const int64_t width = p.is_matrix() ? p.shape[1] : 1;
  if (static_cast<int64_t>(values.size()) != rows * width) {
    throw error(errc::shape_mismatch, "{} values were given for {} rows of parameter {}, which have {}", values.size(),
                rows, p.name, rows * width);
  }
  if (p.is_matrix()) {
    kernels::to_panels(values.data(), rows, width, at);
  } else {
    copy_reals(values, at);
  }
}

std::vector<float> read_parameter(const parameter& p, const_reals arena) {
  return read_rows(p, p.shape[0], arena + p.offset);
}

void write_parameter(const parameter& p, std::span<const float> values, reals arena) {
  write_rows(p, p.shape[0], values, arena + p.offset);
}

}  // namespace troupe::engine
