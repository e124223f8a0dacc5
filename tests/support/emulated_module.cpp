// A module for cards that has four emulated ones. Where the environment variable TROUPE_EMULATED_PEAK names a file,
// that has the most bytes of the last card that were mapped at a time, and by whom; its pages are small then. The card
// whose number TROUPE_EMULATED_FAILING is cannot be opened, that of TROUPE_EMULATED_HANGING never does what it is
// called to do.
#include "base/card_name.hpp"
#include "base/error.hpp"
#include "base/host_name.hpp"
#include "kernels/device_module.hpp"
#include "support/emulation/emulated_card.hpp"

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

namespace troupe {
namespace {

/// Looks again and again, until the process ends: the card lives as long.
void watch(const device& card, const std::string& file) {
  int64_t peak = 0;
  for (;;) {
    const memory_use use = card.use();
    if (const int64_t mapped = card.facts().bytes - use.free; mapped > peak) {
      peak = mapped;
      std::ofstream told(file);
      told << peak << "\n";
      for (const memory_use::holder& one : use.holders) {
        told << one.name << " " << one.bytes << "\n";
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

/// Whether a variable of the environment names that card.
bool is_named(const char* variable, int index) {
  const char* const number = std::getenv(variable);
  return number != nullptr && std::atoi(number) == index;
}

std::unique_ptr<device> open(int index) {
  const std::string called = card_name(index, "emulated card", host_name());
  if (is_named("TROUPE_EMULATED_FAILING", index)) {
    throw error(errc::device_failure, "{}: it has fallen off the bus", called);
  }
  if (is_named("TROUPE_EMULATED_HANGING", index)) {
    static const bool hangs = true;
    return emulation::make_card({.hangs = &hangs, .name = called, .closed = false});
  }
  const char* const file = std::getenv("TROUPE_EMULATED_PEAK");
  if (file == nullptr) {
    return emulation::make_card({.name = called, .closed = false});
  }
  auto card = emulation::make_card({.page_bytes = 4096, .name = called, .closed = false});
  std::thread([&on = *card, name = std::string(file)] { watch(on, name); }).detach();
  return card;
}

}  // namespace
}  // namespace troupe

extern "C" const troupe::kernels::device_module* troupe_device_module() {
  static const troupe::kernels::device_module face{
      .abi = troupe::kernels::device_module_abi(),
      .count = [](std::string&) { return 4; },
      .facts = [](int) { return troupe::emulation::make_card({.closed = false})->facts(); },
      .open = troupe::open,
      .wires =
          [](std::string& why_none) {
            why_none = "an emulated card cannot be reached by the card of another process";
            return std::string();
          }};
  return &face;
}
