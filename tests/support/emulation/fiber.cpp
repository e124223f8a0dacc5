#include "support/emulation/fiber.hpp"

#include <cstdlib>

#if defined(__x86_64__) && !defined(TROUPE_FIBERS_BY_UCONTEXT)
#define TROUPE_FIBERS_BY_ASSEMBLY 1
#else
#define TROUPE_FIBERS_BY_ASSEMBLY 0
#include <ucontext.h>

#include <memory>
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define TROUPE_ASAN_FIBERS 1
#else
#define TROUPE_ASAN_FIBERS 0
#endif

namespace troupe::emulation {

namespace {
thread_local fiber* resumed = nullptr;
}

#if TROUPE_FIBERS_BY_ASSEMBLY

// Keeps what a callee must keep, and changes stacks.
extern "C" void troupe_switch_stacks(void** from, void* to);
asm(R"(.text
.globl troupe_switch_stacks
.type troupe_switch_stacks,@function
troupe_switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size troupe_switch_stacks,.-troupe_switch_stacks
)");

static void* prepared(std::span<std::byte> stack, void (*entry)()) {
  auto** top = reinterpret_cast<void**>(stack.data() + stack.size());
  *--top = nullptr;  // where entry would return to; keeps its frame aligned as after a call
  *--top = reinterpret_cast<void*>(entry);
  for (int kept = 0; kept < 6; ++kept) {
    *--top = nullptr;
  }
  return top;
}

static void switch_stacks(void** from, void* to) { troupe_switch_stacks(from, to); }

#else

// The place of a suspended stack is its ucontext_t. Each stack has one, made when it is first left.
static void* prepared(std::span<std::byte> stack, void (*entry)()) {
  auto* at = new (stack.data()) ucontext_t;  // below all that the stack will ever hold
  getcontext(at);
  at->uc_stack.ss_sp = stack.data() + sizeof(ucontext_t);
  at->uc_stack.ss_size = stack.size() - sizeof(ucontext_t);
  at->uc_link = nullptr;
  makecontext(at, entry, 0);
  return at;
}

static void switch_stacks(void** from, void* to) {
  ucontext_t here;
  *from = &here;
  swapcontext(&here, static_cast<ucontext_t*>(to));
}

#endif

void fiber::start(std::span<std::byte> stack, void (*body)()) {
  stack_ = stack;
  body_ = body;
#if TROUPE_ASAN_FIBERS
  __asan_unpoison_memory_region(stack.data(), stack.size());
#endif
  fake_inside_ = nullptr;
  inside_ = prepared(stack, &fiber::enter);
}

void fiber::enter() {
  fiber& self = *resumed;
#if TROUPE_ASAN_FIBERS
  __sanitizer_finish_switch_fiber(nullptr, &self.outside_bottom_, &self.outside_bytes_);
#endif
  self.body_();
  self.switch_out(true);
  std::abort();  // nobody resumes what has ended
}

void fiber::resume() {
  resumed = this;
#if TROUPE_ASAN_FIBERS
  __sanitizer_start_switch_fiber(&fake_outside_, stack_.data(), stack_.size());
#endif
  switch_in();
#if TROUPE_ASAN_FIBERS
  __sanitizer_finish_switch_fiber(fake_outside_, nullptr, nullptr);
#endif
}

void fiber::leave() { switch_out(false); }

void fiber::switch_in() { switch_stacks(&outside_, inside_); }

void fiber::switch_out([[maybe_unused]] bool for_good) {
#if TROUPE_ASAN_FIBERS
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fake_inside_, outside_bottom_, outside_bytes_);
#endif
  switch_stacks(&inside_, outside_);
#if TROUPE_ASAN_FIBERS
  __sanitizer_finish_switch_fiber(fake_inside_, &outside_bottom_, &outside_bytes_);
#endif
}

}  // namespace troupe::emulation
