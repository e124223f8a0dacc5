/// Constant tables of the position encodings.
#pragma once

#include "base/aligned.hpp"
#include "base/context.hpp"
#include "engine/models/description.hpp"
#include "engine/tensor/buffer.hpp"

#include <map>
#include <memory>
#include <vector>

namespace troupe::engine {

/// Angles of every position: cos and sin, each [P, R/2].
struct rotary_tables {
  aligned_buffer<float> cos_PR2;
  aligned_buffer<float> sin_PR2;
};

/// Turns per position of each pair of dimensions, in radians: theta^(-2i/R), then scaled.
///   linear: f / factor.
///   llama3: wave length w = 2 pi / f, P0 = original_positions; f / factor where w > P0 /
///   low_frequency_factor, f where w < P0 / high_frequency_factor, and between them s f + (1 - s) f
///   / factor, s = (P0 / w - low_frequency_factor) / (high_frequency_factor -
///   low_frequency_factor).
/// Source  Su et al., arXiv:2104.09864; Chen et al., arXiv:2306.15595 (linear); Llama 3.1's model
/// code (llama3).
std::vector<double> rotary_frequencies(const rotary_description& rotary);

/// cos and sin of position * frequency, computed in double.
rotary_tables make_rotary_tables(const rotary_description& rotary, int64_t positions);

/// Slope of head h = 1..H: 2^(-8 h / H) where H is a power of two. Otherwise the slopes of the
/// power of two m below it come first, then every second one of 2m: 2^(-8 (2 i - 1) / 2m), i
/// = 1..H-m.
/// Source  Press et al., arXiv:2108.12409 (the authors' code for other head counts).
std::vector<float> alibi_slopes(int64_t heads);

/// Where a call finds them; null where the model has none.
struct constant_tables {
  const float* cos_PR2 = nullptr;
  const float* sin_PR2 = nullptr;
  const float* alibi_slope_H = nullptr;
};

/// A model's own tables.
struct position_constants {
  rotary_tables rotary;
  std::vector<float> alibi_slope_H;

  constant_tables on_host() const;
};
using position_constants_ptr = std::shared_ptr<const position_constants>;

/// The copies on a card of what models there read. They are the card's, and stay.
class constants_on_card {
public:
  /// Sends them when they are first asked for.
  /// Errors  out_of_memory, device_failure.
  constant_tables of(context& ctx, const position_constants_ptr& constants);

private:
  struct copies {
    buffer cos, sin, slopes;
  };
  std::map<position_constants_ptr, copies> all_;  ///< which keeps its keys: no other model gets an address of theirs
};

}  // namespace troupe::engine
