#include "actors/stage/seating.hpp"

#include <numeric>

namespace troupe::actors {

seat everywhere(int rank, int ranks) {
  seat all{.members = std::vector<int>(static_cast<size_t>(ranks)), .place = rank};
  std::iota(all.members.begin(), all.members.end(), 0);
  return all;
}

static seat seat_of(const io::rank_list& list, int rank, int ranks) {
  if (list.ranks.empty()) {
    return everywhere(rank, ranks);
  }
  seat own;
  for (const int64_t member : list.ranks) {
    if (member == rank) {
      own.place = static_cast<int>(own.members.size());
    }
    own.members.push_back(static_cast<int>(member));
  }
  return own;
}

seating seating_of(const io::place_section& place, int rank, int ranks) {
  return {.policy = seat_of(place.policy_ranks, rank, ranks),
          .critic = seat_of(place.critic_ranks, rank, ranks),
          .reference = seat_of(place.reference_ranks, rank, ranks),
          .reward = seat_of(place.reward_ranks, rank, ranks)};
}

}  // namespace troupe::actors
