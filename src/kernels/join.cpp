#include "kernels/join.hpp"

#include "base/device.hpp"
#include "base/error.hpp"
#include "kernels/device_ops.hpp"

namespace troupe::kernels {

void join_pieces(context& ctx, std::span<const float* const> pieces_R, int64_t count, float* sum) {
  if (pieces_R.empty() || count < 0) {
    throw error(errc::bad_argument, "join_pieces: {} pieces of {} values", pieces_R.size(), count);
  }
  if (ctx.on != nullptr && pieces_R.size() > most_pieces_on_a_card) {
    throw error(errc::bad_argument, "join_pieces: {} pieces; a card joins {} at most", pieces_R.size(),
                most_pieces_on_a_card);
  }
  ctx.on != nullptr ? ctx.on->ops().join_pieces(ctx, pieces_R, count, sum) : join_pieces(pieces_R, count, sum);
}

}  // namespace troupe::kernels
