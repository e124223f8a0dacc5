#include "jobs/compute_place.hpp"

#include "engine/arena/card_arena.hpp"
#include "engine/cards/local_card.hpp"
#include "jobs/arguments.hpp"

#include <string>

namespace troupe {

void add_device_option(boost::program_options::options_description& options, bool& on_card) {
  namespace po = boost::program_options;
  const auto choose = [&on_card](const std::string& name) {
    if (name != "cpu" && name != "cuda") {
      throw usage_error("--device is \"{}\": cpu, or cuda for a card of NVIDIA's", name);
    }
    on_card = name == "cuda";
  };
  options.add_options()("device",
                        po::value<std::string>()->default_value("cpu")->value_name("cpu|cuda")->notifier(choose),
                        "where the model computes; on a card with --dtype bf16 in bf16 throughout");
}

compute_place::compute_place(int threads, bool on_card)
    : pool_(threads), card_(on_card ? engine::open_local_card("--device cuda") : nullptr), ctx_{pool_, card_.get()} {}

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
