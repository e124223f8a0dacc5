/// The kernels of a card: one function for each that has a twin there. A card's `device` gives the table, and each
/// operation of this folder goes through it where `context.on` is set. Arguments have been checked; arrays are the
/// card's. Values in arrays (indices, positions, targets) are checked on the host before they are sent.
#pragma once

#include "kernels/activation.hpp"
#include "kernels/attention.hpp"
#include "kernels/embedding.hpp"
#include "kernels/feed_tokens.hpp"
#include "kernels/join.hpp"
#include "kernels/log_prob.hpp"
#include "kernels/matrix.hpp"
#include "kernels/norm.hpp"
#include "kernels/optimizer.hpp"
#include "kernels/rotary.hpp"
#include "kernels/rows.hpp"
#include "kernels/sampling.hpp"

namespace troupe::kernels {

struct device_ops {
  void (*activation_forward)(context&, const activation_args&) = nullptr;
  void (*activation_backward)(context&, const activation_backward_args&) = nullptr;
  void (*gated_activation_forward)(context&, const gated_activation_args&) = nullptr;
  void (*gated_activation_backward)(context&, const gated_activation_backward_args&) = nullptr;
  void (*add_in_place)(context&, reals y, const_reals x, int64_t count) = nullptr;

  void (*attention_forward)(context&, const attention_args&) = nullptr;
  void (*attention_backward)(context&, const attention_backward_args&) = nullptr;
  void (*paged_attention_forward)(context&, const paged_attention_args&) = nullptr;

  void (*embedding_forward)(context&, const embedding_args&) = nullptr;
  void (*embedding_backward)(context&, const embedding_backward_args&) = nullptr;

  void (*join_pieces)(context&, std::span<const float* const> pieces_R, int64_t count, float* sum) = nullptr;

  void (*linear_forward)(context&, const linear_args&) = nullptr;
  void (*linear_backward_input)(context&, const linear_backward_input_args&) = nullptr;
  void (*linear_backward_weight)(context&, const linear_backward_weight_args&) = nullptr;

  void (*log_prob_forward)(context&, const log_prob_args&) = nullptr;
  void (*log_prob_train)(context&, const log_prob_train_args&) = nullptr;

  void (*layer_norm_forward)(context&, const norm_args&) = nullptr;
  void (*rms_norm_forward)(context&, const norm_args&) = nullptr;
  void (*layer_norm_backward)(context&, const norm_backward_args&) = nullptr;
  void (*rms_norm_backward)(context&, const norm_backward_args&) = nullptr;

  void (*adamw_update)(context&, const adamw_args&) = nullptr;
  double (*sum_of_squares)(context&, const float* values, int64_t count) = nullptr;
  void (*sums_of_squares)(context&, const float* values, std::span<const int64_t> offset_P1, std::span<double> sum_P,
                          std::span<const int64_t> inputs_P) = nullptr;
  void (*fold_average)(context&, float* average, const float* values, int64_t count, float decay) = nullptr;

  void (*rotary_forward)(context&, const rotary_args&) = nullptr;
  void (*rotary_backward)(context&, const rotary_args&) = nullptr;

  void (*copy_rows)(context&, const copy_rows_args&) = nullptr;
  void (*gather_rows)(context&, const gather_rows_args&) = nullptr;
  void (*scatter_rows)(context&, const scatter_rows_args&) = nullptr;
  void (*zero)(context&, reals values, int64_t count) = nullptr;

  void (*sample_rows)(context&, const sample_rows_args&) = nullptr;
  void (*feed_tokens)(context&, const feed_tokens_args&) = nullptr;
};

}  // namespace troupe::kernels
