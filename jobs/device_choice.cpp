#include "jobs/device_choice.hpp"

#include "jobs/arguments.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace troupe {

void settle_device(const io::place_section& place, bool hosts_are_given, const engine::module_places& places) {
  if (place.device == io::device_choice::cpu) {
    return;
  }
  const engine::card_module cards(places);
  if (place.device == io::device_choice::automatic) {
    if (const device_facts* const first = cards.first_facts()) {
      spdlog::info("there is {}: auto computes on the CPU all the same, place.device = cuda there", card_text(*first));
    }
    return;
  }
  if (cards.cards() == 0) {
    throw usage_error("place.device = cuda: {}", cards.why_none());
  }
  if (!hosts_are_given && place.ranks > cards.cards()) {
    throw usage_error("place.device = cuda: each of the {} ranks (place.ranks) takes a card of its own, and this host "
                      "has {}: give --place.ranks {} or fewer, or run under Slurm",
                      place.ranks, cards.cards(), cards.cards());
  }
}

std::string card_text(const device_facts& card) {
  return fmt::format("{}, {:.1f} GiB, architecture {}.{}, driver {}, {}{}{}", card.name,
                     static_cast<double>(card.bytes) / (1 << 30), card.major, card.minor, card.driver, card.libraries,
                     card.lacks.empty() ? "" : "; ", card.lacks);
}

}  // namespace troupe
