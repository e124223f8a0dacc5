#include "engine/models/workspace.hpp"

namespace troupe::engine {

workspace_row workspace_row_of(const model_description& d) {
  const int64_t query = d.heads * d.head_width;
  const int64_t qkv = query + 2 * d.kv_heads * d.head_width;
  const int64_t up = (d.gated ? 2 : 1) * d.feed_forward;
  return {.every_pass = 3 * d.width + d.embedding_width + d.feed_forward,  // stream, normed, delta
          .keeping_nothing = qkv + query + up,
          .backward = 2 * d.width + query + qkv + d.feed_forward};
}

workspace& thread_workspace() {
  static thread_local workspace scratch;
  return scratch;
}

}  // namespace troupe::engine
