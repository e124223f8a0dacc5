#include "gpu/comparison.hpp"

#include "base/round_up.hpp"
#include "kernels/matrix.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace troupe::gpu_check {

void comparison::near(const char* operation, const_reals got, std::span<const float> want, double limit) {
  const double apart = relative_error(arrays_.read(got, static_cast<int64_t>(want.size())), want);
  worst = std::max(worst, apart);
  require(operation, apart <= limit, fmt::format("error {:.2g}", apart));
}

void comparison::same(const char* operation, const operand& o) {
  std::vector<float> want = o.host;
  for (float& value : want) {
    value = rounded(value, o.card.type());
  }
  require(operation, same_bits(arrays_.read(o.card, static_cast<int64_t>(want.size())), want), "other bits");
}

void comparison::same_in_f32(const char* operation, const operand& o) {
  type_ == dtype::f32 ? same(operation, o) : near(operation, o);
}

void comparison::require(const char* operation, bool good, const std::string& fault) {
  compared.insert(operation);
  if (!good) {
    faults += fmt::format("{} in {}: {}; ", operation, to_string(type_), fault);
  }
}

operand weight_of(comparison& t, int64_t outputs, int64_t inputs, uint64_t stream) {
  std::vector<float> rows = random_values(outputs * inputs, stream);
  for (float& value : rows) {
    value = rounded(value, t.type());
  }
  operand w;
  w.host.resize(static_cast<size_t>(kernels::panels_size(outputs, inputs)));
  kernels::to_panels(rows.data(), outputs, inputs, w.host.data());
  rows.resize(w.host.size());
  w.card = t.arrays().upload(rows, t.type());
  return w;
}

}  // namespace troupe::gpu_check
