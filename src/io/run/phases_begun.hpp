/// How far the phases of a run are, by its ledger.
#pragma once

#include "io/job/job.hpp"
#include "io/run/ledger.hpp"

#include <cstdint>
#include <map>
#include <set>
#include <vector>

namespace troupe::io {

struct phase_progress {
  bool finished = false;
  int64_t done = 0;  ///< updates or iterations in its newest checkpoint, as far as the ledger has one
};

/// The phases that have begun: those that are not there may still be given any options.
class phases_begun {
public:
  void note(const ledger_event& event);

  bool begun(phase one) const { return progress_.contains(one); }
  bool finished(phase one) const { return begun(one) && progress_.at(one).finished; }
  std::set<phase> finished() const;
  const std::map<phase, phase_progress>& all() const { return progress_; }

private:
  std::map<phase, phase_progress> progress_;
};

phases_begun phases_begun_of(const std::vector<ledger_event>& ledger);

}  // namespace troupe::io
