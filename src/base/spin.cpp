#include "base/spin.hpp"

#include <sched.h>

namespace troupe {

void spin_pause(int spin) {
  if (spin % 64 == 63) {
    sched_yield();
  } else {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
}

}  // namespace troupe
