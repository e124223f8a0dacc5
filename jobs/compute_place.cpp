#include "jobs/compute_place.hpp"

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

/// Null: the host.
static std::unique_ptr<device> chosen_card(io::device_choice wanted) {
  const bool must = wanted == io::device_choice::cuda;
  if (wanted == io::device_choice::cpu ||
      (!must && engine::card_module(engine::usual_places()).first_facts() == nullptr)) {
    return nullptr;
  }
  auto card = engine::open_local_card(must ? "--device cuda" : "--device auto (cpu leaves the card alone)");
  spdlog::info("computes on {}", card_text(card->facts()));
  return card;
}

compute_place::compute_place(int threads, io::device_choice device)
    : pool_(threads), card_(chosen_card(device)), ctx_{pool_, card_.get()} {}

placed_weights::placed_weights(compute_place& place, const actors::model& model) : data_(model.weights.data()) {
  if (place.card() != nullptr) {
    const engine::parameter_layout& layout = model.net.layout();
    const reals copy = on_card_.room(place.ctx(), data_.type(), layout.arena_size());
    engine::staging through;
    engine::send_arena(place.ctx(), layout, data_, copy, through);
    data_ = copy;
  }
}

}  // namespace troupe
