/// CPU twin of sampling.hpp; arguments have been checked.
#pragma once

#include "kernels/sampling.hpp"

namespace troupe::kernels::cpu {

sampled_token sample_token(std::span<float> logits_V, const sampling_settings& settings,
                           std::span<const int32_t> context, double uniform, sampling_scratch& scratch);

}  // namespace troupe::kernels::cpu
