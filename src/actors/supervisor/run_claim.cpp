#include "actors/supervisor/run_claim.hpp"

#include "base/error.hpp"
#include "io/run/run_status.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace troupe::actors {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds between_tries = 1s;

/// None: another process holds it.
static std::optional<io::run_lock> lock_if_free(const io::run_directory& run) {
  try {
    return io::run_lock(run);
  } catch (const error& refusal) {
    if (refusal.code() != errc::bad_argument) {
      throw;
    }
    return std::nullopt;
  }
}

std::optional<io::run_lock> claim_run(const io::run_directory& run, std::chrono::milliseconds patience,
                                      const claim_pause& pause) {
  using clock = std::chrono::steady_clock;
  const auto end = clock::now() + patience;
  for (bool told = false;; told = true) {
    if (std::optional<io::run_lock> lock = lock_if_free(run)) {
      return lock;
    }
    if (!told) {
      spdlog::warn("{} is still locked ({}): waiting up to {} s for the job's former supervisor to lose it",
                   run.root().string(), io::lock_holder(run),
                   std::chrono::duration_cast<std::chrono::seconds>(patience).count());
    }
    if (clock::now() >= end || !pause(std::min(between_tries, patience))) {
      return std::nullopt;
    }
  }
}

}  // namespace troupe::actors
