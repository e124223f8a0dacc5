/// Turns: how threads share something without a lock, where a plan already keeps them apart.
///
/// A trained model is used by actors on threads of their own: by the one that computes gradients, by its optimizer,
/// its average and the checkpointer. The director asks one of them at a time and waits for the answer, so they never
/// meet, and a lock would only hide a plan that lets them. Whoever uses the model holds its turn meanwhile; a second
/// turn is refused in every build, before it has touched anything.
#pragma once

#include "base/error.hpp"

#include <atomic>

namespace troupe::actors {

/// Whose turn it is.
class turn_taking {
public:
  turn_taking() = default;
  turn_taking(const turn_taking&) = delete;
  turn_taking& operator=(const turn_taking&) = delete;

private:
  friend class turn;

  std::atomic<const char*> holder_{nullptr};  ///< null: nobody's
};

/// The turn of `who` (a string literal), for as long as it lives.
class turn {
public:
  /// Errors  bad_argument: it is somebody else's turn. A defect of the plan, never of the job.
  turn(turn_taking& of, const char* who) : of_(of) {
    const char* holder = nullptr;
    if (!of_.holder_.compare_exchange_strong(holder, who, std::memory_order_acquire)) {
      throw error(errc::bad_argument,
                  "\"{}\" was asked to begin while \"{}\" was using the same model: two commands of the plan overlap, "
                  "which is a defect of Troupe",
                  who, holder);
    }
  }
  ~turn() { of_.holder_.store(nullptr, std::memory_order_release); }
  turn(const turn&) = delete;
  turn& operator=(const turn&) = delete;

private:
  turn_taking& of_;
};

}  // namespace troupe::actors
