/// place.device: what a run computes on.
#pragma once

#include "actors/hosts/allocation.hpp"
#include "base/device.hpp"
#include "engine/cards/card_module.hpp"
#include "io/job/job.hpp"

#include <optional>
#include <string>

namespace troupe {

/// What a run that begins or goes on on this host computes on: cpu or cuda. `automatic` is what it has computed on so
/// far (`before`); a new run takes cards where each of its ranks has one. Where there are cards, says what it is.
/// `given`: what a scheduler has given, so that ranks may be on other hosts too.
/// Errors  usage_error: it has to be cuda, and what of driver, module and card is not here; more ranks than cards.
io::device_choice settled_device(const io::place_section& place, std::optional<io::device_choice> before,
                                 const std::optional<actors::allocation>& given, const engine::module_places& places);

/// The same by the run in run.dir and this process's environment.
/// Errors  those of settled_device; those of io::begun_job.
io::device_choice settled_device(const io::job& job);

/// What the run in run.dir has computed on so far; none: no phase has begun there.
/// Errors  those of io::begun_job.
std::optional<io::device_choice> device_so_far(const io::job& job);

/// "NVIDIA H100 80GB HBM3, 79.1 GiB, architecture 9.0, driver 580.65, CUDA 13.0"
std::string card_text(const device_facts& card);

}  // namespace troupe
