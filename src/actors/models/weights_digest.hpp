/// What tells one model's weights from another's.
#pragma once

#include "actors/models/model_files.hpp"
#include "base/context.hpp"

#include <string>

namespace troupe::actors {

/// A digest of all weights as they are now, as text: the same wherever they lie. Collective among the ranks that share
/// them.
std::string weights_digest(context& ctx, model& m);

}  // namespace troupe::actors
