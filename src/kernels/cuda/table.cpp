#include "kernels/cuda/table.hpp"

#include "kernels/cuda/activation.hpp"
#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/embedding.hpp"
#include "kernels/cuda/feed_tokens.hpp"
#include "kernels/cuda/join.hpp"
#include "kernels/cuda/log_prob.hpp"
#include "kernels/cuda/matrix.hpp"
#include "kernels/cuda/norm.hpp"
#include "kernels/cuda/optimizer.hpp"
#include "kernels/cuda/rotary.hpp"
#include "kernels/cuda/rows.hpp"
#include "kernels/cuda/sampling.hpp"

namespace troupe::kernels::cuda {

const device_ops& ops() {
  static const device_ops table{
      .activation_forward = activation_forward,
      .activation_backward = activation_backward,
      .gated_activation_forward = gated_activation_forward,
      .gated_activation_backward = gated_activation_backward,
      .add_in_place = add_in_place,
      .attention_forward = attention_forward,
      .attention_backward = attention_backward,
      .paged_attention_forward = paged_attention_forward,
      .embedding_forward = embedding_forward,
      .embedding_backward = embedding_backward,
      .join_pieces = join_pieces,
      .linear_forward = linear_forward,
      .linear_backward_input = linear_backward_input,
      .linear_backward_weight = linear_backward_weight,
      .log_prob_forward = log_prob_forward,
      .log_prob_train = log_prob_train,
      .layer_norm_forward = layer_norm_forward,
      .rms_norm_forward = rms_norm_forward,
      .layer_norm_backward = layer_norm_backward,
      .rms_norm_backward = rms_norm_backward,
      .adamw_update = adamw_update,
      .sum_of_squares = sum_of_squares,
      .sums_of_squares = sums_of_squares,
      .fold_average = fold_average,
      .rotary_forward = rotary_forward,
      .rotary_backward = rotary_backward,
      .copy_rows = copy_rows,
      .gather_rows = gather_rows,
      .scatter_rows = scatter_rows,
      .zero = zero,
      .sample_rows = sample_rows,
      .feed_tokens = feed_tokens,
  };
  return table;
}

}  // namespace troupe::kernels::cuda
