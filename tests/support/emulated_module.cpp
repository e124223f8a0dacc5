// A module for cards that has four emulated ones.
#include "kernels/device_module.hpp"
#include "support/emulation/emulated_card.hpp"

namespace troupe {
namespace {

std::unique_ptr<device> open(int /*index*/) { return emulation::make_card({.closed = false}); }

}  // namespace
}  // namespace troupe

extern "C" const troupe::kernels::device_module* troupe_device_module() {
  static const troupe::kernels::device_module face{.abi = troupe::kernels::device_module_abi(),
                                                   .count = [](std::string&) { return 4; },
                                                   .facts = [](int index) { return troupe::open(index)->facts(); },
                                                   .open = troupe::open};
  return &face;
}
