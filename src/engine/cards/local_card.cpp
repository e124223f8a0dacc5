#include "engine/cards/local_card.hpp"

#include "base/error.hpp"

#include <charconv>
#include <string_view>

namespace troupe::engine {

int local_card(const std::function<const char*(const char*)>& variable, int cards) {
  for (const char* name : {"OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID"}) {
    const char* const value = variable(name);
    if (value == nullptr) {
      continue;
    }
    if (std::string_view(name) == "SLURM_LOCALID" && variable("SLURM_GPUS_PER_TASK") != nullptr) {
      return 0;
    }
    int number = 0;
    const std::string_view text = value;
    const auto [end, failure] = std::from_chars(text.begin(), text.end(), number);
    if (failure != std::errc() || end != text.end() || number < 0) {
      throw error(errc::bad_argument, "{} is \"{}\", which is no number of a rank on its host", name, text);
    }
    if (number >= cards) {
      throw error(errc::bad_argument,
                  "this is rank {} of its host, counted from 0 ({}), and the host shows it {} card{}: start as many "
                  "ranks on a host as it has cards",
                  number, name, cards, cards == 1 ? "" : "s");
    }
    return number;
  }
  return 0;
}

}  // namespace troupe::engine
