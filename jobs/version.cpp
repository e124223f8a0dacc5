#include "jobs/version.hpp"

#include "engine/cards/card_module.hpp"
#include "engine/parallel/mpi_version.hpp"
#include "io/hdf5/version.hpp"
#include "jobs/device_choice.hpp"
#include "kernels/instruction_sets.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "libraries.hpp"

namespace troupe {

std::string version_text(std::string_view build) {
  std::string text = "troupe " TROUPE_VERSION;
  if (!build.empty()) {
    text += fmt::format(" ({})", build);
  }
  text += fmt::format("\nbuilt with    {}\n", built_with);
  text += fmt::format("libraries     {}\n", libraries);
  text += fmt::format("MPI           {}\n", engine::mpi_version());
  text += fmt::format("HDF5          {}\n", io::hdf5_version());
  text +=
      fmt::format("kernels for   {}, the first of which this CPU gets\n", fmt::join(kernels::instruction_sets(), ", "));
  const engine::card_module cards(engine::usual_places());
  if (cards.cards() == 0) {
    return text + fmt::format("cards         none: {}\n", cards.why_none());
  }
  for (int i = 0; i < cards.cards(); ++i) {
    const engine::card_answer& one = cards.answers()[static_cast<size_t>(i)];
    text +=
        fmt::format("card {:<9}{}\n", i, one.failure.empty() ? card_text(one.facts) : "cannot be used: " + one.failure);
  }
  return text + fmt::format("between cards {}\n", cards.wires());
}

}  // namespace troupe
