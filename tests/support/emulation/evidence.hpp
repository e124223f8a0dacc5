/// What the tests of one program have shown on the emulated card. Where the environment names a folder in
/// TROUPE_EVIDENCE, the program leaves it there as it ends, for tests/cuda/report.py.
#pragma once

#include "support/emulation/grid.hpp"

#include <cstdint>
#include <string>

namespace troupe::emulation {

/// A kernel runs, with its threads in this order. Tests launch hundreds of thousands: it takes no lock.
void note_launch(const void* kernel, thread_order order);

/// How far results are from what an oracle in double says.
struct oracle_error {
  std::string operation;
  std::string type;     ///< of the operands
  std::string measure;  ///< what the error is: see tests/support/emulation/card_test.hpp
  double limit = 0;     ///< that the test allows
  double error = 0;
  int64_t values = 0;  ///< compared
};
void note_error(const oracle_error& one);

/// Drawn tokens whose log-probability was held against scoring's, and those among them with another one.
void note_tokens(int64_t compared, int64_t different);

/// The emulation has found a bug of tests/cuda/planted_bugs.cu: of the kernel `name`_kernel.
void note_found_bug(const std::string& name);

}  // namespace troupe::emulation
