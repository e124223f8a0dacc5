/// How the program reaches the code for a kind of cards: a library of its own, loaded where there is a driver for them,
/// so that the program starts without one. All of it is built from the same sources as the program.
#pragma once

#include "base/device.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace troupe::kernels {

/// What the library's one function returns. Nothing but `abi` may be used where it is not `device_module_abi()`.
struct device_module {
  uint64_t abi;                                ///< digest of what it was built from
  int (*count)(std::string& why_none);         ///< cards that this process may use; 0: `why_none` tells why
  device_facts (*facts)(int index);            ///< without opening it. Errors  device_failure
  std::unique_ptr<device> (*open)(int index);  ///< Errors  unsupported, device_failure
  /// By what its cards have wires to those of other processes: "NCCL 2.28.9". Empty: they have none, `why_none` tells
  /// why.
  std::string (*wires)(std::string& why_none);
};

/// The name of that function, and its type.
inline constexpr const char* device_module_function = "troupe_device_module";
using get_device_module = const device_module* (*)();

/// A digest of the headers that the program and a module have in common, and of the compiler and its options: what is
/// built from others has other classes by the same names.
uint64_t device_module_abi();

}  // namespace troupe::kernels
