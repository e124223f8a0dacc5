/// Stacks that hand each other the processor. Switching costs some nanoseconds on x86-64, where it is a few lines of
/// assembly; elsewhere, or with TROUPE_FIBERS_BY_UCONTEXT, it is swapcontext, which makes a system call.
#pragma once

#include <cstddef>
#include <span>

namespace troupe::emulation {

/// Code that runs on a stack of its own, piece by piece. It stays on the thread that resumes it.
class fiber {
public:
  fiber() = default;
  fiber(const fiber&) = delete;
  fiber& operator=(const fiber&) = delete;

  /// The next resume() begins `body` on `stack`. A fiber that has not come to its end may be started anew: what stands
  /// on its stack is forgotten, not destroyed.
  void start(std::span<std::byte> stack, void (*body)());

  /// Goes on with the fiber until it leaves or ends.
  void resume();

  /// Called on the fiber's own stack: returns to the caller of resume().
  void leave();

private:
  static void enter();
  void switch_in();
  void switch_out(bool for_good);

  std::span<std::byte> stack_;
  void (*body_)() = nullptr;
  void* inside_ = nullptr;   ///< where the fiber stands while others run
  void* outside_ = nullptr;  ///< where resume()'s caller stands while the fiber runs
  // What AddressSanitizer wants to know of both stacks.
  void* fake_inside_ = nullptr;
  void* fake_outside_ = nullptr;
  const void* outside_bottom_ = nullptr;
  size_t outside_bytes_ = 0;
};

}  // namespace troupe::emulation
