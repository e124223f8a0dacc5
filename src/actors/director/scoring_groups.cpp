#include "actors/director/scoring_groups.hpp"

#include <algorithm>
#include <utility>

namespace troupe::actors {

static bool share_ranks(const company& of, const scoring_group& group, cast_part part) {
  return std::any_of(group.begin(), group.end(),
                     [&](const scoring_part& member) { return of.share_ranks(member.part, part); });
}

std::vector<scoring_group> scoring_groups(const company& of) {
  std::vector<scoring_group> groups;
  for (const scoring_part& scorer : {scoring_part{&cast::reference, "reference"}, scoring_part{&cast::reward, "reward"},
                                     scoring_part{&cast::critic, "critic"}}) {
    if (!of.has(scorer.part)) {
      continue;
    }
    scoring_group joined;  // it joins every group that it shares a rank with
    std::erase_if(groups, [&](const scoring_group& group) {
      const bool meets = share_ranks(of, group, scorer.part);
      if (meets) {
        joined.insert(joined.end(), group.begin(), group.end());
      }
      return meets;
    });
    joined.push_back(scorer);
    groups.push_back(std::move(joined));
  }
  return groups;
}

bool waits_for_policy(const company& of, const scoring_group& group) { return share_ranks(of, group, &cast::policy); }

}  // namespace troupe::actors
