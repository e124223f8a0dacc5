// Attention of the card: against the host's, and rows that are decoded against the same rows in one packed pass.
#include "base/round_up.hpp"

#include <fmt/format.h>

#include "gpu/card_arrays.hpp"
#include "gpu/stage.hpp"
#include <algorithm>
#include <cmath>

namespace troupe::gpu_check {

namespace {

/// One sequence, its keys and values in pages in falling order, as they are given out.
class sequence {
public:
  sequence(subject& of, dtype type, int64_t length)
      : of_(of), type_(type), length_(length), arrays_(of.card), pages_(divide_up(length, kernels::attention_tile)) {
    shape_ = {.heads = of.size(8, 2), .kv_heads = of.size(2, 1), .head_width = of.size(64, 16)};
    shape_.scale = 1.0F / std::sqrt(static_cast<float>(shape_.head_width));
    qkv_ = arrays_.random(length * shape_.row_width(), type, 1, 2);
    out_ = arrays_.zeros(length * width(), type);
    offset_ = {0, length};
    std::vector<int32_t> page(static_cast<size_t>(pages_));
    for (int64_t i = 0; i < pages_; ++i) {
      page[static_cast<size_t>(i)] = static_cast<int32_t>(pages_ - 1 - i);
      tiles_.insert(tiles_.end(), {0, static_cast<int32_t>(i)});
    }
    page_there_ = arrays_.upload_as_is(std::span<const int32_t>(page));
    const int64_t cached = pages_ * kernels::kv_pages{}.page_floats(shape_);
    keys_ = arrays_.empty(cached, type);
    values_ = arrays_.empty(cached, type);
  }

  /// All rows at once, on the card and on the host; the error between them.
  double packed() {
    const int64_t* offset = arrays_.upload_as_is(std::span<const int64_t>(offset_));
    const int32_t* tiles = arrays_.upload_as_is(std::span<const int32_t>(tiles_));
    kernels::attention_forward(of_.on_card, {.shape = shape_,
                                             .out_NHK = out_.card,
                                             .qkv_NE = qkv_.card,
                                             .offset_B1 = {offset, offset_.size()},
                                             .tile_T2 = {tiles, tiles_.size()}});
    kernels::attention_forward(
        of_.on_host, {.shape = shape_, .out_NHK = out_.host.data(), .qkv_NE = qkv_.host.data(), .offset_B1 = offset_});
    packed_ = arrays_.read(out_.card, length_ * width());
    return relative_error(packed_, out_.host);
  }

  /// Rows [begin, end) in pages. How many values differ from the packed pass.
  int64_t paged(int64_t begin, int64_t end) {
    const int64_t rows[] = {0, end - begin};
    const int32_t position[] = {static_cast<int32_t>(begin)};
    card_arrays call(of_.card);
    kernels::paged_attention_forward(of_.on_card,
                                     {.shape = shape_,
                                      .out_NHK = out_.card,
                                      .qkv_NE = qkv_.card + begin * shape_.row_width(),
                                      .pages = {.keys = keys_, .values = values_},
                                      .where = {.page_SP = page_there_,
                                                .row_S1 = call.upload_as_is(std::span<const int64_t>(rows)),
                                                .position_S = call.upload_as_is(std::span<const int32_t>(position)),
                                                .sequences = 1,
                                                .stride = pages_,
                                                .rows = end - begin,
                                                .longest = end}});
    const std::vector<float> got = arrays_.read(out_.card, (end - begin) * width());
    int64_t different = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      different += same_bits({&got[i], 1}, {&packed_[static_cast<size_t>(begin * width()) + i], 1}) ? 0 : 1;
    }
    return different;
  }

private:
  int64_t width() const { return shape_.heads * shape_.head_width; }

  subject& of_;
  dtype type_;
  int64_t length_;
  card_arrays arrays_;
  int64_t pages_;
  kernels::attention_shape shape_;
  operand qkv_, out_;
  std::vector<int64_t> offset_;
  std::vector<int32_t> tiles_;
  const int32_t* page_there_ = nullptr;
  reals keys_, values_;
  std::vector<float> packed_;
};

}  // namespace

outcome attention(subject& of) {
  if (of.card.ops().paged_attention_forward == nullptr) {
    return {.text = "not in this module"};
  }
  outcome found;
  for (const dtype type : {dtype::f32, dtype::bf16}) {
    const int64_t length = of.size(1300, 140);
    const int64_t prompt = length / 2;
    sequence one(of, type, length);
    const double error = one.packed();
    int64_t different = one.paged(0, prompt / 3) + one.paged(prompt / 3, prompt);
    const int64_t decoded = prompt + of.size(length - prompt, 10);
    for (int64_t row = prompt; row < decoded; ++row) {
      different += one.paged(row, row + 1);
    }
    const double limit = type == dtype::bf16 ? 2e-5 : 1e-11;
    found.good = found.good && error <= limit && different == 0;
    found.text +=
        fmt::format("{}{}: error {:.2g} against the host's, {} values of {} paged rows differ from the packed",
                    found.text.empty() ? "" : "; ", to_string(type), error, different, decoded);
    found.figures.push_back({fmt::format("error_{}", to_string(type)), error});
    found.figures.push_back({fmt::format("different_{}", to_string(type)), static_cast<double>(different)});
  }
  return found;
}

}  // namespace troupe::gpu_check
