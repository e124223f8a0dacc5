/// The parameters of a model in one flat arena. Weights, gradients, moments and averages are arenas of the same layout;
/// weights may be bfloat16, the rest is float32.
#pragma once

#include "base/reals.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::engine {

/// What a parameter is to the model. Nothing tells parameters apart by their names.
enum class parameter_kind : uint8_t {
  token_table,
  position_table,
  linear_weight,  ///< of a linear layer, the language-model head included
  scalar_head,
  bias,  ///< of a linear layer or a norm
  norm_scale,
};

/// What a parameter's rows (a matrix' outputs, a vector's values) count: how they are divided among ranks that generate
/// together (tensor_parallel/columns.hpp).
enum class row_axis : uint8_t {
  undivided,      ///< every rank has all rows
  heads,          ///< query heads, then key heads, then value heads
  units,          ///< units of the feed-forward
  gate_up_units,  ///< the gate of every unit, then every unit
  columns,        ///< columns of the residual stream
  tokens,         ///< tokens of the vocabulary
};

struct parameter_role {
  parameter_kind kind = parameter_kind::linear_weight;
  row_axis rows = row_axis::undivided;
};

struct parameter {
  std::string name;  ///< logical name, for example layers.3.attention.qkv.weight
  parameter_role role;
  std::vector<int64_t> shape;  ///< logical: [O, I] for a matrix (kept in panels, kernels/matrix.hpp), [D] for a vector
  int64_t offset = 0;          ///< first float in the arena, a multiple of 16
  int64_t size = 0;            ///< floats in the arena, the panels' padding included
  bool is_matrix() const { return shape.size() == 2; }
  bool decays() const { return is_matrix(); }  ///< weight decay applies
};

/// Floats [first, last) of an arena.
struct arena_range {
  int64_t first = 0, last = 0;
  int64_t size() const { return last - first; }
};

class parameter_layout {
public:
  /// Appends; returns the index.
  int64_t add_matrix(std::string name, int64_t outputs, int64_t inputs, parameter_role role = {});
  int64_t add_vector(std::string name, int64_t size, parameter_role role = {.kind = parameter_kind::bias});

  /// What is appended from now on is a segment of its own: passes, gathers and reductions take one segment at a time.
  void begin_segment() { segment_starts_.push_back(arena_size_); }
  /// They cover the arena, in order. One may be empty.
  std::vector<arena_range> segments() const;

  std::span<const parameter> all() const { return parameters_; }
  const parameter& operator[](int64_t index) const { return parameters_[static_cast<size_t>(index)]; }
  /// Errors  not_found.
  const parameter& at(std::string_view name) const;
  int64_t arena_size() const { return arena_size_; }  ///< floats
  int64_t parameter_count() const;                    ///< logical elements, without padding

private:
  int64_t append(parameter p);

  std::vector<parameter> parameters_;
  std::vector<int64_t> segment_starts_ = {0};
  int64_t arena_size_ = 0;
};

/// One parameter's values as plain rows, from an arena and into it. An arena of bfloat16 takes the nearest (to_bf16).
/// Errors  shape_mismatch.
std::vector<float> read_parameter(const parameter& p, const_reals arena);
void write_parameter(const parameter& p, std::span<const float> values, reals arena);

/// The same for `rows` rows of a matrix (values of a vector), of which the first stands at `at`: for a matrix the first
/// of a panel. Panels are whole, so only a matrix' last rows may leave a panel unfilled.
/// Errors  shape_mismatch.
std::vector<float> read_rows(const parameter& p, int64_t rows, const_reals at);
void write_rows(const parameter& p, int64_t rows, std::span<const float> values, reals at);

}  // namespace troupe::engine
