#include "engine/models/model_share.hpp"

namespace troupe::engine {

model_share all_of(const model_description& whole) {
  return {.heads = {0, whole.heads},
          .kv_heads = {0, whole.kv_heads},
          .units = {0, whole.feed_forward},
          .columns = {0, whole.width},
          .tokens = {0, whole.vocabulary}};
}

model_description description_of(const model_description& whole, const model_share& share) {
  model_description part = whole;
  part.heads = share.heads.size();
  part.kv_heads = share.kv_heads.size();
  part.feed_forward = share.units.size();
  return part;
}

}  // namespace troupe::engine
