/// The plan of the pairs phase: preference pairs from the policy's own samples. Each iteration leaves a file, and the
/// files are the checkpoint: an iteration's record is durable before its file is.
#pragma once

#include "actors/director/context.hpp"
#include "actors/director/phase_plan.hpp"

namespace troupe::actors {

class pairs_plan : public phase_plan {
public:
  explicit pairs_plan(director_context& on) : on_(on) {}

  task<> perform() override;

private:
  /// Goes on after the iterations whose files are there.
  task<> resume();
  task<> iterate();

  director_context& on_;
  uint64_t total_ = 0;  ///< iterations
};

}  // namespace troupe::actors
