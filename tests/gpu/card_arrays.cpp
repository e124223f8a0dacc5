#include "gpu/card_arrays.hpp"

#include "base/random.hpp"

#include <algorithm>
#include <cstring>

namespace troupe::gpu_check {

std::byte* card_arrays::bytes(int64_t count) {
  const int64_t some = std::max<int64_t>(count, 1);
  std::byte* const at = card_.reserve(some, "gpu check");
  ranges_.push_back(at);
  card_.map(at, some);
  return at;
}

void card_arrays::send(std::byte* to, const void* from, int64_t count) {
  card_.copy(queue::compute, to, from, count);
  finish(card_);
}

void card_arrays::fetch(void* to, const void* from, int64_t count) {
  finish(card_);  // or the copy would wait, and no patience would end that
  card_.copy(queue::compute, to, from, count);
  finish(card_);
}

reals card_arrays::upload(std::span<const float> values, dtype type) {
  if (type == dtype::f32) {
    return upload_as_is(values);
  }
  std::vector<bf16> narrow(values.size());
  std::transform(values.begin(), values.end(), narrow.begin(), to_bf16);
  return upload_as_is(std::span<const bf16>(narrow));
}

operand card_arrays::random(int64_t count, dtype type, uint64_t stream, double scale) {
  operand made{random_values(count, stream, scale), nullptr};
  std::transform(made.host.begin(), made.host.end(), made.host.begin(), [&](float x) { return rounded(x, type); });
  made.card = upload(made.host, type);
  return made;
}

operand card_arrays::zeros(int64_t count, dtype type) {
  operand made{std::vector<float>(static_cast<size_t>(count)), nullptr};
  made.card = upload(made.host, type);
  return made;
}

std::vector<float> card_arrays::read(const_reals values, int64_t count) {
  std::vector<float> wide(static_cast<size_t>(count));
  if (values.type() == dtype::f32) {
    fetch(wide.data(), values.data(), count * size_of(dtype::f32));
    return wide;
  }
  std::vector<bf16> narrow(wide.size());
  fetch(narrow.data(), values.data(), count * size_of(dtype::bf16));
  std::transform(narrow.begin(), narrow.end(), wide.begin(), [](bf16 x) { return to_float(x); });
  return wide;
}

std::vector<float> random_values(int64_t count, uint64_t stream, double scale) {
  std::vector<float> values(static_cast<size_t>(count));
  const random_key key{.seed = 1, .stream = stream, .purpose = random_purpose::test};
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>((2.0 * random_uniform(key, i) - 1.0) * scale);
  }
  return values;
}

float rounded(float value, dtype type) { return type == dtype::bf16 ? to_float(to_bf16(value)) : value; }

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

double relative_error(std::span<const float> a, std::span<const float> b) {
  double difference = 0;
  double size = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    const double apart = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    difference += apart * apart;
    size += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return difference == 0 ? 0 : difference / size;
}

}  // namespace troupe::gpu_check
