/// CPU twins of rotary.hpp; arguments have been checked.
#pragma once

#include "kernels/rotary.hpp"

namespace troupe::kernels::cpu {

/// `direction` is 1 to turn forward, -1 to turn back.
void rotary(context& ctx, const rotary_args& args, float direction);

}  // namespace troupe::kernels::cpu
