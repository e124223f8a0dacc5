#include "support/attention_oracle.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::test {

kernels::attention_shape shape_of(const attention_problem& p, std::vector<float>& slope_H) {
  for (int64_t h = 0; h < p.heads; ++h) {
    slope_H.push_back(static_cast<float>(std::exp2(-8.0 * static_cast<double>(h + 1) / static_cast<double>(p.heads))));
  }
  return {.heads = p.heads,
          .kv_heads = p.kv_heads,
          .head_width = p.head_width,
          .scale = 1.0F / std::sqrt(static_cast<float>(p.head_width)),
          .alibi_slope_H = p.alibi ? slope_H.data() : nullptr};
}

namespace {

/// One query row of one head: its probabilities over the keys it sees, and where its operands are.
struct query_row {
  size_t query = 0, key = 0, value = 0, out = 0;  ///< key, value: of the sequence's first row
  double lse = 0;
  std::vector<double> p;
};

class sequence_oracle {
public:
  sequence_oracle(const kernels::attention_shape& shape, std::span<const double> qkv_NE)
      : shape_(shape), qkv_(qkv_NE), width_(static_cast<size_t>(shape.head_width)),
        row_(static_cast<size_t>(shape.row_width())) {}

  query_row find(int64_t start, int64_t i, int64_t head) const {
    const int64_t kv_head = head / (shape_.heads / shape_.kv_heads);
    const size_t first = static_cast<size_t>(start) * row_;
    query_row r;
    r.query = static_cast<size_t>(start + i) * row_ + static_cast<size_t>(head) * width_;
    r.key = first + static_cast<size_t>(shape_.heads + kv_head) * width_;
    r.value = first + static_cast<size_t>(shape_.heads + shape_.kv_heads + kv_head) * width_;
    r.out = static_cast<size_t>((start + i) * shape_.heads + head) * width_;
    for (int64_t j = 0; j <= i; ++j) {
      double dot = 0;
      for (size_t k = 0; k < width_; ++k) {
        dot += qkv_[r.query + k] * qkv_[r.key + static_cast<size_t>(j) * row_ + k];
      }
      const double slope = shape_.alibi_slope_H == nullptr ? 0.0 : shape_.alibi_slope_H[head];
      r.p.push_back(shape_.scale * dot + slope * static_cast<double>(j - i));
    }
    const double top = *std::max_element(r.p.begin(), r.p.end());
    double sum = 0;
    for (const double a : r.p) {
      sum += std::exp(a - top);
    }
    r.lse = top + std::log(sum);
    for (double& a : r.p) {
      a = std::exp(a - r.lse);
    }
    return r;
  }

private:
  const kernels::attention_shape& shape_;
  std::span<const double> qkv_;
  size_t width_, row_;
};

template <class Visit>
void for_each_row(const kernels::attention_shape& shape, std::span<const double> qkv_NE,
                  std::span<const int64_t> offset_B1, const Visit& visit) {
  const sequence_oracle oracle(shape, qkv_NE);
  for (size_t b = 0; b + 1 < offset_B1.size(); ++b) {
    for (int64_t i = 0; i < offset_B1[b + 1] - offset_B1[b]; ++i) {
      for (int64_t h = 0; h < shape.heads; ++h) {
        visit(oracle.find(offset_B1[b], i, h));
      }
    }
  }
}

}  // namespace

attention_values attention_oracle(const kernels::attention_shape& shape, std::span<const double> qkv_NE,
                                  std::span<const int64_t> offset_B1) {
  const auto row = static_cast<size_t>(shape.row_width());
  const auto width = static_cast<size_t>(shape.head_width);
  attention_values values;
  values.out_NHK.resize(static_cast<size_t>(offset_B1.back() * shape.heads) * width);
  for_each_row(shape, qkv_NE, offset_B1, [&](const query_row& r) {
    values.lse_NH.push_back(r.lse);
    for (size_t j = 0; j < r.p.size(); ++j) {
      for (size_t k = 0; k < width; ++k) {
        values.out_NHK[r.out + k] += r.p[j] * qkv_NE[r.value + j * row + k];
      }
    }
  });
  return values;
}

std::vector<double> attention_backward_oracle(const kernels::attention_shape& shape, std::span<const double> qkv_NE,
                                              std::span<const double> dout_NHK, std::span<const int64_t> offset_B1) {
  const auto row = static_cast<size_t>(shape.row_width());
  const auto width = static_cast<size_t>(shape.head_width);
  std::vector<double> dqkv(qkv_NE.size());
  for_each_row(shape, qkv_NE, offset_B1, [&](const query_row& r) {
    std::vector<double> dp(r.p.size());
    double mean = 0;
    for (size_t j = 0; j < r.p.size(); ++j) {
      for (size_t k = 0; k < width; ++k) {
        dp[j] += dout_NHK[r.out + k] * qkv_NE[r.value + j * row + k];
      }
      mean += r.p[j] * dp[j];
    }
    for (size_t j = 0; j < r.p.size(); ++j) {
      const double ds = r.p[j] * (dp[j] - mean) * shape.scale;
      for (size_t k = 0; k < width; ++k) {
        dqkv[r.query + k] += ds * qkv_NE[r.key + j * row + k];
        dqkv[r.key + j * row + k] += ds * qkv_NE[r.query + k];
        dqkv[r.value + j * row + k] += r.p[j] * dout_NHK[r.out + k];
      }
    }
  });
  return dqkv;
}

}  // namespace troupe::test
