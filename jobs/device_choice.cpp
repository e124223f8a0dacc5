#include "jobs/device_choice.hpp"

#include "jobs/arguments.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace troupe {

static constexpr const char* not_yet =
    "place.device = cuda: runs of this version do not compute on cards yet, so give cpu";

void refuse_cards(io::device_choice wanted) {
  if (wanted == io::device_choice::cuda) {
    throw usage_error("{}", not_yet);
  }
}

void settle_device(io::device_choice wanted, const engine::module_places& places) {
  if (wanted == io::device_choice::cpu) {
    return;
  }
  const engine::card_module cards(places);
  const std::string here = cards.cards() == 0
                               ? cards.why_none()
                               : fmt::format("there is {}{}", card_text(cards.facts().front()),
                                             cards.cards() == 1 ? "" : fmt::format(", one of {}", cards.cards()));
  if (wanted == io::device_choice::cuda) {
    throw usage_error("{}. Here, {}", not_yet, here);
  }
  if (cards.cards() > 0) {
    spdlog::info("{}: runs of this version do not compute on cards yet; the CPU does", here);
  }
}

std::string card_text(const device_facts& card) {
  return fmt::format("{}, {:.1f} GiB, architecture {}.{}, driver {}, {}{}{}", card.name,
                     static_cast<double>(card.bytes) / (1 << 30), card.major, card.minor, card.driver, card.libraries,
                     card.lacks.empty() ? "" : "; ", card.lacks);
}

}  // namespace troupe
