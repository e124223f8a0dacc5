/// A rank's emulated card, which it exchanges by wires.
#pragma once

#include "base/context.hpp"
#include "engine/parallel/between_cards.hpp"
#include "support/emulation/emulated_card.hpp"

#include <chrono>
#include <memory>

namespace troupe::test {

struct wired_card {
  wired_card(const std::shared_ptr<emulation::wire_network>& network, engine::world& here, bool late = true,
             std::chrono::milliseconds deadline = std::chrono::minutes(1))
      : card(emulation::make_card({.page_bytes = 4096, .late = late, .network = network})) {
    engine::settle_exchange(*here.open("cards"), *card, {.wanted = engine::card_exchange::wires, .deadline = deadline});
  }

  std::unique_ptr<device> card;
  thread_pool pool{1};
  context ctx{pool, card.get()};
};

}  // namespace troupe::test
