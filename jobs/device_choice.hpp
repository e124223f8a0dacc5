/// place.device: what a run computes on.
#pragma once

#include "base/device.hpp"
#include "engine/cards/card_module.hpp"
#include "io/job/job.hpp"

#include <string>

namespace troupe {

/// Errors  usage_error: a card is asked for, which the engine cannot use yet.
void refuse_cards(io::device_choice wanted);

/// As refuse_cards, for a run that begins on this host: the error also names what of driver, module and card is not
/// here. Where a card is here that `automatic` does not take, says so.
void settle_device(io::device_choice wanted, const engine::module_places& places);

/// "NVIDIA H100 80GB HBM3, 79.1 GiB, architecture 9.0, driver 580.65, CUDA 13.0"
std::string card_text(const device_facts& card);

}  // namespace troupe
