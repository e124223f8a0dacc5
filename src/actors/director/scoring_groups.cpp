#include "actors/director/scoring_groups.hpp"

#include "actors/director/replies.hpp"

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

task<score_reply> score_waiting(director_context& on, cast_part scorer) {
  score_reply total;
  for (const score_reply& rank : co_await on.ask_all<scorer_actor, score_reply>(scorer, score_atom_v)) {
    total.tokens += rank.tokens;
    total.seconds = std::max(total.seconds, rank.seconds);
  }
  co_return total;
}

void add_scoring(statistics& to, const std::string& name, const score_reply& scored) {
  to["time/" + name + "_s"] = scored.seconds;
  to["rate/" + name + "_tokens_per_s"] = per_second(static_cast<double>(scored.tokens), scored.seconds);
}

}  // namespace troupe::actors
