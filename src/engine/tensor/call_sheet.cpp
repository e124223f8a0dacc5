#include "engine/tensor/call_sheet.hpp"

#include <algorithm>

namespace troupe::engine {

void call_sheet::send(context& ctx) {
  if (ctx.on == nullptr || staged_.empty()) {
    sent_ = staged_.data();
    return;
  }
  const auto count = static_cast<int64_t>(staged_.size());
  source& from = sources_[next_];
  next_ = (next_ + 1) % sources_.size();
  ctx.on->finish(from.copied);
  if (from.memory == nullptr || from.memory->bytes() < count) {
    from.memory = ctx.on->pin(std::max<int64_t>(count, 64 << 10));
  }
  std::memcpy(from.memory->data(), staged_.data(), staged_.size());
  std::byte* to = on_card_.bytes(ctx, count);
  ctx.on->copy(queue::compute, to, from.memory->data(), count);
  from.copied = ctx.on->record(queue::compute);
  sent_ = to;
}

}  // namespace troupe::engine
