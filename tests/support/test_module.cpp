// Modules for cards that the loader finds, or refuses. The build says which one this is.
#include "base/error.hpp"
#include "kernels/device_module.hpp"

#include <unistd.h>

namespace troupe {
namespace {

int count([[maybe_unused]] std::string& why_none) {
#ifdef TROUPE_MODULE_stuck
  for (;;) {
    ::pause();
  }
#endif
#ifdef TROUPE_MODULE_empty
  why_none = "all of them are asleep";
  return 0;
#else
  return 2;
#endif
}

device_facts facts(int index) {
#ifdef TROUPE_MODULE_broken
  if (index == 0) {
    throw error(errc::device_failure, "it does not answer");
  }
#endif
  return {.name = fmt::format("Card of the tests {}", index),
          .driver = "1.2",
          .libraries = "none",
          .major = 9,
          .bytes = int64_t{3} << 29};
}

std::unique_ptr<device> open(int index) { throw error(errc::unsupported, "card {} does not open", index); }

std::string wires(std::string&) { return "wires of the tests 1.2"; }

constexpr kernels::device_module calls{.abi = 0, .count = count, .facts = facts, .open = open, .wires = wires};

}  // namespace
}  // namespace troupe

#ifndef TROUPE_MODULE_none
extern "C" const troupe::kernels::device_module* troupe_device_module() {
  static troupe::kernels::device_module face = troupe::calls;
#ifdef TROUPE_MODULE_foreign
  face = {.abi = troupe::kernels::device_module_abi() ^ 1U};  // and nothing that may be called
#else
  face.abi = troupe::kernels::device_module_abi();
#endif
  return &face;
}
#endif
