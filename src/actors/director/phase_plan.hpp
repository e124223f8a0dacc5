/// The plan of a phase: which commands the casts get, from its first update or iteration to its last. A new phase is
/// a plan in a file of its own, and a line in director.cpp.
#pragma once

#include "actors/protocol/task.hpp"

namespace troupe::actors {

class phase_plan {
public:
  phase_plan() = default;
  virtual ~phase_plan() = default;
  phase_plan(const phase_plan&) = delete;
  phase_plan& operator=(const phase_plan&) = delete;

  /// Brings the phase to its end; or, when a stop is requested, to a checkpoint that it can go on from. The stage is
  /// set.
  virtual task<> perform() = 0;
};

}  // namespace troupe::actors
