#include "engine/models/workspace.hpp"

#include "base/device.hpp"

#include <memory>

namespace troupe::engine {

workspace_row workspace_row_of(const model_description& d) {
  const int64_t query = d.heads * d.head_width;
  const int64_t qkv = query + 2 * d.kv_heads * d.head_width;
  const int64_t up = (d.gated ? 2 : 1) * d.feed_forward;
  const int64_t normed_heads = d.head_norm ? query : 0;  // the queries apart, which are more than the keys
  return {.every_pass = 3 * d.width + d.embedding_width + d.feed_forward + normed_heads,  // 3: stream, normed, delta
          .keeping_nothing = qkv + query + up,
          .backward = 2 * d.width + query + qkv + d.feed_forward + (d.head_norm ? qkv : 0) + 2 * normed_heads};
}

namespace {

class card_workspace final : public kept_with_device {
public:
  workspace scratch;
};

}  // namespace

workspace& workspace_of(context& ctx) {
  if (ctx.on == nullptr) {
    static thread_local workspace scratch;
    return scratch;
  }
  if (ctx.on->kept(kept_thing::workspace) == nullptr) {
    ctx.on->keep(kept_thing::workspace, std::make_unique<card_workspace>());
  }
  return static_cast<card_workspace*>(ctx.on->kept(kept_thing::workspace))->scratch;
}

}  // namespace troupe::engine
