#include "actors/cast/device.hpp"

namespace troupe::actors {

const char* to_string(role of) {
  static constexpr std::array<const char*, roles> names = {"stage",
                                                           "loader",
                                                           "policy",
                                                           "reference",
                                                           "reward model",
                                                           "critic",
                                                           "policy optimizer",
                                                           "reward model optimizer",
                                                           "critic optimizer",
                                                           "weight average",
                                                           "replay",
                                                           "checkpointer"};
  return names[static_cast<size_t>(of)];
}

}  // namespace troupe::actors
