/// TROUPE_ASSERT guards against our own bugs, in every build type. Bad input is never asserted: it throws `error`.
#pragma once

namespace troupe {

/// Prints expression, file and line to stderr and aborts.
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

}  // namespace troupe

#define TROUPE_ASSERT(expression)                                                                                      \
  ((expression) ? static_cast<void>(0) : ::troupe::assertion_failed(#expression, __FILE__, __LINE__))
