#include "kernels/cuda/failure.hpp"

#include "base/card_name.hpp"
#include "base/error.hpp"
#include "base/host_name.hpp"
#include "kernels/cuda/short_name.hpp"

#include <cxxabi.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

namespace troupe::kernels::cuda {

namespace {

struct card_state {
  std::string name;
  std::string failure;  ///< the first; empty: it works
};

std::mutex guard;
std::map<int, card_state> states;                // under `guard`
std::atomic<const void*> last_kernel = nullptr;  // that this process has started
std::atomic<bool> any_failed = false;            // so that calls to cards that work take no lock
thread_local std::optional<int> current;         // as this thread has set it

/// Errors of one call, after which the card still works.
bool passes(cudaError_t result) {
  switch (result) {
  case cudaErrorMemoryAllocation:
  case cudaErrorInvalidValue:
  case cudaErrorInvalidConfiguration:
  case cudaErrorNotSupported:
  case cudaErrorStreamCaptureUnsupported:
  case cudaErrorStreamCaptureInvalidated:
    return true;
  default:
    return false;
  }
}

void require_works(int index) {
  const std::lock_guard lock(guard);
  if (const card_state& state = states[index]; !state.failure.empty()) {
    throw error(errc::device_failure, state.failure);
  }
}

/// "forward_kernel<float>", without the namespaces.
std::string name_of(const void* kernel) {
  const char* mangled = nullptr;
  if (cudaFuncGetName(&mangled, kernel) != cudaSuccess || mangled == nullptr) {
    return "a kernel without a name";
  }
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> plain(abi::__cxa_demangle(mangled, nullptr, nullptr, &status),
                                                          &std::free);
  return status == 0 ? short_function_name(plain.get()) : mangled;
}

/// From now on the card is asked for nothing any more.
void note_failure(int index, const std::string& text) {
  const std::lock_guard lock(guard);
  if (card_state& state = states[index]; state.failure.empty()) {
    state.failure = text;
    any_failed = true;
  }
}

/// `of`: the card; none: nobody knows which.
[[noreturn]] void fail(cudaError_t result, const std::string& doing, std::optional<int> of) {
  const std::string text = fmt::format("{}: {}{}", of ? called(*of) : "CUDA", cudaGetErrorString(result), doing);
  if (of && !passes(result)) {
    note_failure(*of, text);
  }
  throw error(result == cudaErrorMemoryAllocation ? errc::out_of_memory : errc::device_failure, text);
}

void check(cudaError_t result, const char* doing, std::optional<int> of) {
  if (result == cudaSuccess) {
    return;
  }
  static_cast<void>(cudaGetLastError());  // or the next launch would find it
  const void* const kernel = last_kernel;
  if (passes(result) || kernel == nullptr) {
    fail(result, doing, of);
  }
  // Kernels run behind the host's back: what has failed is one of those started.
  fail(result,
       fmt::format("{}; the last kernel started is {}, and what failed is it or one before (with "
                   "CUDA_LAUNCH_BLOCKING=1 in the environment: it)",
                   doing, name_of(kernel)),
       of);
}

}  // namespace

void use_card(int index) {
  if (any_failed) {
    require_works(index);
  }
  if (current != index) {
    check(cudaSetDevice(index), ", when it was chosen", index);
    current = index;
  }
}

void use_card_at_the_end(int index) noexcept {
  current = cudaSetDevice(index) == cudaSuccess ? std::optional(index) : std::nullopt;
}

void name_card(int index, std::string name) {
  const std::lock_guard lock(guard);
  states[index].name = std::move(name);
}

std::string called(int index) {
  const std::lock_guard lock(guard);
  const std::string& name = states[index].name;
  return name.empty() ? card_name(index, "", host_name()) : name;
}

std::string called() { return current ? called(*current) : "CUDA"; }

void give_up(int index, const std::string& what) {
  const void* const kernel = last_kernel;
  const std::string text =
      fmt::format("{}: {}{}", called(index), what,
                  kernel != nullptr ? fmt::format("; the last kernel started is {}", name_of(kernel)) : std::string());
  note_failure(index, text);
  throw error(errc::device_failure, text);
}

bool has_failed(int index) {
  const std::lock_guard lock(guard);
  return !states[index].failure.empty();
}

void check(cudaError_t result, const char* doing) { check(result, doing, current); }

void check(cudaError_t result, const char* doing, int index) { check(result, doing, std::optional(index)); }

void check_launch(const void* kernel) {
  last_kernel = kernel;
  if (const cudaError_t result = cudaGetLastError(); result != cudaSuccess) {
    fail(result, fmt::format(", when {} was started", name_of(kernel)), current);
  }
}

}  // namespace troupe::kernels::cuda
