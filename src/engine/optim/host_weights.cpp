#include "engine/optim/host_weights.hpp"

#include "base/assert.hpp"

namespace troupe::engine {

host_weights::host_weights(context& ctx, rank_weights& of, const inference_model& net)
    : at_{ctx.pool, of.on()}, of_(of), gathered_(of), plan_(net.layout(), net.segments(), 1) {
  if (of.on() != nullptr) {
    copy_ = paged_arena(of.size(), of.type());
    holds_S_.resize(static_cast<size_t>(plan_.segments()));
  }
}

weights_view host_weights::view() { return of_.on() != nullptr ? weights_view(copy_.data(), this) : gathered_.view(); }

void host_weights::prefetch(int64_t segment) {
  if (of_.sharded()) {
    gathered_.prefetch(segment);
  }
}

void host_weights::acquire(context&, int64_t segment) {
  const held_segment held(at_, gathered_.view().access, segment);
  if (holds_S_[static_cast<size_t>(segment)]++ == 0) {
    fetch_segment(at_, plan_, segment, of_.data(), copy_.data(), through_);
  }
}

void host_weights::release(int64_t segment) {
  int& holds = holds_S_[static_cast<size_t>(segment)];
  TROUPE_ASSERT(holds > 0);
  if (--holds == 0) {
    const arena_range range = plan_.segment(segment);
    copy_.release(range.first, range.last);
  }
}

}  // namespace troupe::engine
