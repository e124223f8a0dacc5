/// Which cards fail. A card that has failed twice gets no ranks any more, as long as the supervisor lives and as the
/// job can do without it (choose in launcher.hpp): after a failure a card may work again, and may not.
///
/// Fed with what comes; no thread, no actor.
#pragma once

#include "actors/hosts/launcher.hpp"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

namespace troupe::actors {

class card_watch {
public:
  /// Card `number` of a host (by Slurm's name; "" outside of Slurm) has failed. Returns how often it has by now.
  int64_t note(const std::string& host, int64_t number);

  /// Cards that should get no ranks.
  const card_set& doubtful() const { return doubtful_; }
  bool is_doubtful(const std::string& host, int64_t number) const;

  /// Cards that have failed since the last progress: "card 1 of node2".
  const std::set<std::string>& places() const { return places_; }
  /// There is a new checkpoint, or a phase is finished.
  void note_progress() { places_.clear(); }

private:
  std::map<std::pair<std::string, int64_t>, int64_t> failures_;
  card_set doubtful_;
  std::set<std::string> places_;
};

}  // namespace troupe::actors
