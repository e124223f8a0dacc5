#include "engine/tensor/transfer.hpp"

#include "base/copy_reals.hpp"
#include "base/device.hpp"

#include <cstddef>
#include <cstring>
#include <vector>

namespace troupe::engine {

static void copy(context& ctx, void* to, const void* from, int64_t bytes) {
  if (bytes == 0) {
    return;
  }
  if (ctx.on == nullptr) {
    std::memcpy(to, from, static_cast<size_t>(bytes));
    return;
  }
  // Where host memory is not pinned the copy's call itself waits for what the queue has before it, and without a limit
  // of time: so that is waited for first.
  settle(ctx);
  ctx.on->copy(queue::compute, to, from, bytes);
  settle(ctx);
}

void settle(context& ctx) {
  if (ctx.on != nullptr) {
    ctx.on->finish(ctx.on->record(queue::compute));
  }
}

void send(context& ctx, void* to, const void* from, int64_t bytes) { copy(ctx, to, from, bytes); }
void fetch(context& ctx, void* to, const void* from, int64_t bytes) { copy(ctx, to, from, bytes); }

void send(context& ctx, std::span<const float> from, reals to) {
  std::vector<std::byte> staged(from.size() * static_cast<size_t>(size_of(to.type())));
  copy_reals(from, reals(staged.data(), to.type()));
  send(ctx, to.data(), staged.data(), static_cast<int64_t>(staged.size()));
}

void fetch(context& ctx, const_reals from, std::span<float> to) {
  std::vector<std::byte> staged(to.size() * static_cast<size_t>(size_of(from.type())));
  fetch(ctx, std::span(staged), from.data());
  copy_reals(const_reals(staged.data(), from.type()), to);
}

}  // namespace troupe::engine
