#include "jobs/compute_place.hpp"

#include "actors/hosts/allocation.hpp"
#include "base/error.hpp"
#include "engine/arena/card_arena.hpp"
#include "engine/cards/card_module.hpp"
#include "engine/cards/local_card.hpp"
#include "io/job/options.hpp"
#include "jobs/arguments.hpp"
#include "jobs/device_choice.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

namespace troupe {

void add_device_option(boost::program_options::options_description& options, io::device_choice& device) {
  namespace po = boost::program_options;
  const auto choose = [&device](const std::string& name) {
    const std::span<const std::string_view> words = io::words_of<io::device_choice>();
    const auto found = std::find(words.begin(), words.end(), name);
    if (found == words.end()) {
      throw usage_error("--device is \"{}\": cpu, cuda for a card of NVIDIA's, or auto: a card where there is one",
                        name);
    }
    device = static_cast<io::device_choice>(found - words.begin());
  };
  options.add_options()("device",
                        po::value<std::string>()->default_value("auto")->value_name("auto|cpu|cuda")->notifier(choose),
                        "where the model computes; on a card with --dtype bf16 in bf16 throughout");
}

/// A card that this process may take; null: there is none.
static std::unique_ptr<device> card_if_any() {
  const auto given = actors::read_allocation(actors::current_environment());
  if ((given && !given->has_cards) || engine::card_module(engine::usual_places()).first_facts() == nullptr) {
    return nullptr;
  }
  try {
    return engine::open_local_card("--device auto");
  } catch (const error& failure) {
    spdlog::warn("computes on the host: {}", failure.what());
    return nullptr;
  }
}

/// Null: the host.
static std::unique_ptr<device> chosen_card(io::device_choice wanted) {
  if (wanted == io::device_choice::cpu) {
    return nullptr;
  }
  auto card = wanted == io::device_choice::cuda ? engine::open_local_card("--device cuda") : card_if_any();
  if (card) {
    spdlog::info("computes on {}", card_text(card->facts()));
  }
  return card;
}

compute_place::compute_place(int threads, io::device_choice device)
    : pool_(threads), card_(chosen_card(device)), ctx_{pool_, card_.get()} {}

placed_weights::placed_weights(compute_place& place, const actors::model& model) : data_(model.weights.data()) {
  if (place.card() != nullptr) {
    const engine::parameter_layout& layout = model.net.layout();
    try {
      const reals copy = on_card_.room(place.ctx(), data_.type(), layout.arena_size());
      engine::staging through;
      engine::send_arena(place.ctx(), layout, data_, copy, through);
      data_ = copy;
    } catch (const error& failure) {
      if (failure.code() != errc::out_of_memory) {
        throw;
      }
      throw error(errc::out_of_memory, "{}. --device cpu computes on the host, --dtype bf16 takes half",
                  failure.what());
    }
  }
}

}  // namespace troupe
