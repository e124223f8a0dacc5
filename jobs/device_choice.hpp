/// place.device: what a run computes on.
#pragma once

#include "base/device.hpp"
#include "engine/cards/card_module.hpp"
#include "io/job/job.hpp"

#include <string>

namespace troupe {

/// For a run that begins on this host: looks for the cards that it asks for. Where a card is here that `automatic` does
/// not take, says so. `hosts_are_given`: a scheduler has, so that ranks may be on others too.
/// Errors  usage_error: what of driver, module and card is not here; more ranks than cards.
void settle_device(const io::place_section& place, bool hosts_are_given, const engine::module_places& places);

/// "NVIDIA H100 80GB HBM3, 79.1 GiB, architecture 9.0, driver 580.65, CUDA 13.0"
std::string card_text(const device_facts& card);

}  // namespace troupe
