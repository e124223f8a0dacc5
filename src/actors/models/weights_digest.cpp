#include "actors/models/weights_digest.hpp"

#include "base/digest.hpp"
#include "engine/optim/host_weights.hpp"

#include <span>
#include <vector>

namespace troupe::actors {

std::string weights_digest(context& ctx, model& m) {
  engine::host_weights weights(ctx, m.learned(), m.net);
  const engine::weights_view view = weights.view();
  digest_stream stream;
  const std::vector<engine::arena_range> segments = m.net.segments();
  for (size_t s = 0; s < segments.size(); ++s) {
    const engine::held_segment held(ctx, view.access, static_cast<int64_t>(s));
    const const_reals first = view.data + segments[s].first;
    stream.update(
        {static_cast<const std::byte*>(first.data()), static_cast<size_t>(segments[s].size() * size_of(first.type()))});
  }
  return digest_text(stream.value());
}

}  // namespace troupe::actors
