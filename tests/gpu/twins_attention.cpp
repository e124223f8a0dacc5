// Attention: packed, its gradients, and from pages.
#include "base/round_up.hpp"

#include "gpu/comparison.hpp"
#include <cmath>

namespace troupe::gpu_check {

namespace {

constexpr int64_t head_width = 24;

/// Grouped heads, with ALiBi's slopes or without.
class attention_case {
public:
  attention_case(comparison& t, bool slopes) : t_(t) {
    shape_ = {.heads = 4, .kv_heads = 2, .head_width = head_width, .scale = 1.0F / std::sqrt(float{head_width})};
    slope_ = {0.5F, 0.25F, 0.125F, 0.0625F};
    slope_there_ = t.arrays().upload_as_is(std::span<const float>(slope_));
    slopes_ = slopes;
    qkv_ = t.random(rows() * shape_.row_width(), 1, 2);
    out_ = t.zeros(rows() * width());
    lse_ = t.arrays().zeros(rows() * shape_.heads, dtype::f32);
  }

  void packed() {
    const int64_t* offset = t_.arrays().upload_as_is(std::span<const int64_t>(offset_));
    const int32_t* tile = t_.arrays().upload_as_is(std::span<const int32_t>(tile_));
    const std::span<const int64_t> offset_there(offset, offset_.size());
    const std::span<const int32_t> tile_there(tile, tile_.size());
    kernels::attention_forward(t_.card(), {.shape = shape(true),
                                           .out_NHK = out_.card,
                                           .lse_NH = lse_.card,
                                           .qkv_NE = qkv_.card,
                                           .offset_B1 = offset_there,
                                           .tile_T2 = tile_there});
    kernels::attention_forward(t_.host(), {.shape = shape(false),
                                           .out_NHK = out_.host.data(),
                                           .lse_NH = lse_.host.data(),
                                           .qkv_NE = qkv_.host.data(),
                                           .offset_B1 = offset_});
    t_.near("attention_forward", out_, t_.some_roundings());
    t_.near("attention_forward", lse_, t_.some_roundings());
    out_.host = t_.arrays().read(out_.card, rows() * width());  // as rounded there: both go on from the same
    lse_.host = t_.arrays().read(lse_.card, rows() * shape_.heads);
    const operand dout = t_.random(rows() * width(), 2);
    operand dqkv = t_.zeros(rows() * shape_.row_width());
    kernels::attention_backward(t_.card(), {.shape = shape(true),
                                            .dqkv_NE = dqkv.card,
                                            .dout_NHK = dout.card,
                                            .out_NHK = out_.card,
                                            .lse_NH = lse_.card,
                                            .qkv_NE = qkv_.card,
                                            .offset_B1 = offset_there,
                                            .tile_T2 = tile_there});
    kernels::attention_backward(t_.host(), {.shape = shape(false),
                                            .dqkv_NE = dqkv.host.data(),
                                            .dout_NHK = dout.host.data(),
                                            .out_NHK = out_.host.data(),
                                            .lse_NH = lse_.host.data(),
                                            .qkv_NE = qkv_.host.data(),
                                            .offset_B1 = offset_});
    t_.near("attention_backward", dqkv, t_.some_roundings());
  }

  /// Both sequences at once: the first `first` rows of each, then the others. Against the packed rows.
  void paged(int64_t first) {
    const operand keys = t_.zeros(4 * pages().page_floats(shape_)), values = t_.zeros(4 * pages().page_floats(shape_));
    operand keys_on_host = keys, values_on_host = values;
    const std::vector<int32_t> page{3, 0, 1, 2};
    const int32_t* page_there = t_.arrays().upload_as_is(std::span<const int32_t>(page));
    for (const bool rest : {false, true}) {
      std::vector<int64_t> row{0};
      std::vector<int32_t> position;
      std::vector<float> qkv, want;
      for (size_t s = 0; s + 1 < offset_.size(); ++s) {
        const int64_t begin = offset_[s] + (rest ? first : 0);
        const int64_t end = rest ? offset_[s + 1] : offset_[s] + first;
        qkv.insert(qkv.end(), qkv_.host.begin() + begin * shape_.row_width(),
                   qkv_.host.begin() + end * shape_.row_width());
        want.insert(want.end(), out_.host.begin() + begin * width(), out_.host.begin() + end * width());
        row.push_back(row.back() + end - begin);
        position.push_back(rest ? static_cast<int32_t>(first) : 0);
      }
      kernels::paged_attention_args args{.shape = shape(true)};
      args.where = {.page_SP = page_there,
                    .row_S1 = t_.arrays().upload_as_is(std::span<const int64_t>(row)),
                    .position_S = t_.arrays().upload_as_is(std::span<const int32_t>(position)),
                    .sequences = 2,
                    .stride = 2,
                    .rows = row.back(),
                    .longest = rest ? offset_[1] : first};
      args.pages = {.keys = keys.card, .values = values.card};
      args.qkv_NE = t_.arrays().upload(qkv, t_.type());
      operand out = t_.zeros(row.back() * width());
      args.out_NHK = out.card;
      kernels::paged_attention_forward(t_.card(), args);
      args.shape = shape(false);
      args.where.page_SP = page.data();
      args.where.row_S1 = row.data();
      args.where.position_S = position.data();
      args.pages = {.keys = keys_on_host.host.data(), .values = values_on_host.host.data()};
      args.qkv_NE = qkv.data();
      args.out_NHK = out.host.data();
      kernels::paged_attention_forward(t_.host(), args);
      t_.near("paged_attention_forward", out, t_.some_roundings());
      out.host = want;
      t_.same("paged_attention_forward", out);
    }
  }

private:
  int64_t rows() const { return offset_.back(); }
  int64_t width() const { return shape_.heads * shape_.head_width; }
  static kernels::kv_pages pages() { return {}; }
  kernels::attention_shape shape(bool on_card) const {
    kernels::attention_shape shape = shape_;
    shape.alibi_slope_H = !slopes_ ? nullptr : on_card ? slope_there_ : slope_.data();
    return shape;
  }

  comparison& t_;
  kernels::attention_shape shape_;
  bool slopes_ = false;
  std::vector<float> slope_;
  const float* slope_there_ = nullptr;
  std::vector<int64_t> offset_{0, 70, 100};
  std::vector<int32_t> tile_{0, 0, 0, 1, 1, 0};
  operand qkv_, out_, lse_;
};

}  // namespace

void compare_attention(comparison& t) {
  for (const bool slopes : {false, true}) {
    attention_case one(t, slopes);
    one.packed();
    one.paged(17);
  }
}

}  // namespace troupe::gpu_check
