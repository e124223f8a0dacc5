/// The parameters of a model as one flat arena with named views. Weights, gradients, moments and averages are arenas
/// of the same layout; sharding cuts them by offset.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::engine {

struct parameter {
  std::string name;            ///< logical name, for example layers.3.attention.qkv.weight
  std::vector<int64_t> shape;  ///< logical: [O, I] for a matrix (kept in panels, kernels/matrix.hpp), [D] for a vector
  int64_t offset = 0;          ///< first float in the arena, a multiple of 16
  int64_t size = 0;            ///< floats in the arena, the panels' padding included
  bool decays = false;         ///< weight decay applies: matrices yes, vectors no
  bool is_matrix() const { return shape.size() == 2; }
};

class parameter_layout {
public:
  /// Appends; returns the index.
  int64_t add_matrix(std::string name, int64_t outputs, int64_t inputs);
  int64_t add_vector(std::string name, int64_t size);

  std::span<const parameter> all() const { return parameters_; }
  const parameter& operator[](int64_t index) const { return parameters_[static_cast<size_t>(index)]; }
  /// Errors  not_found.
  const parameter& at(std::string_view name) const;
  int64_t arena_size() const { return arena_size_; }  ///< floats
  int64_t parameter_count() const;                    ///< logical elements, without padding

private:
  std::vector<parameter> parameters_;
  int64_t arena_size_ = 0;
};

/// Floats [first, last) of an arena.
struct arena_range {
  int64_t first = 0, last = 0;
  int64_t size() const { return last - first; }
};

/// One parameter's values as plain rows, from an arena and into it.
/// Errors  shape_mismatch.
std::vector<float> read_parameter(const parameter& p, const float* arena);
void write_parameter(const parameter& p, std::span<const float> values, float* arena);

/// The same for `rows` rows of a matrix (values of a vector), of which the first stands at `at`: for a matrix the first
/// of a panel. Panels are whole, so only a matrix' last rows may leave a panel unfilled.
/// Errors  shape_mismatch.
std::vector<float> read_rows(const parameter& p, int64_t rows, const float* at);
void write_rows(const parameter& p, int64_t rows, std::span<const float> values, float* at);

}  // namespace troupe::engine
