#include "engine/tensor/buffer.hpp"

#include "base/assert.hpp"
#include "base/device.hpp"

#include <utility>

namespace troupe::engine {

buffer::buffer(buffer&& other) noexcept { *this = std::move(other); }

buffer& buffer::operator=(buffer&& other) noexcept {
  std::swap(host_, other.host_);
  std::swap(on_, other.on_);
  std::swap(card_, other.card_);
  std::swap(card_bytes_, other.card_bytes_);
  std::swap(type_, other.type_);
  std::swap(holder_, other.holder_);
  return *this;
}

buffer::~buffer() { give_back(); }

void buffer::give_back() {
  if (card_ != nullptr) {
    on_->free(std::exchange(card_, nullptr));
    card_bytes_ = 0;
  }
}

reals buffer::room(context& ctx, dtype type, int64_t count) {
  type_ = type;
  return {bytes(ctx, count * size_of(type)), type};
}

std::byte* buffer::bytes(context& ctx, int64_t count) {
  TROUPE_ASSERT(on_ == ctx.on || empty());  // a buffer stays where it is
  if (ctx.on == nullptr) {
    return host_.reserve(count);
  }
  on_ = ctx.on;
  if (count > card_bytes_) {
    give_back();
    card_ = on_->reserve(count, holder_);
    on_->map(card_, count);
    card_bytes_ = count;
  }
  return card_;
}

}  // namespace troupe::engine
