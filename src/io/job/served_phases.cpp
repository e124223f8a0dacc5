#include "io/job/phases.hpp"

#include <array>
#include <utility>

namespace troupe::io {

bool can_serve(data_format format, bool with_prompt_words, phase wanted) {
  switch (wanted) {
  case phase::sft:
    return true;
  case phase::reward:
    return format == data_format::experience || format == data_format::pairs || format == data_format::hh_dialogue ||
           format == data_format::conversations || format == data_format::automatic;
  case phase::pairs:
  case phase::ppo:
    return format != data_format::experience && (format != data_format::text || with_prompt_words);
  case phase::replay:  // what it needs is stored
    return false;
  }
  return false;
}

std::vector<phase> served_phases(const data_section& set) {
  if (!set.phases.empty()) {
    return set.phases;
  }
  std::vector<phase> out;
  for (const phase p : {phase::sft, phase::reward, phase::ppo}) {
    const bool only_if_asked = p == phase::reward && set.format == data_format::conversations;
    if (can_serve(set.format, set.prompt_words > 0, p) && !only_if_asked) {
      out.push_back(p);
    }
  }
  return out;
}

bool serves(const data_section& set, phase wanted) { return contains(served_phases(set), wanted); }

std::vector<phase> divided_phases(const job& job) {
  std::vector<phase> out;
  for (const phase p : {phase::sft, phase::reward, phase::ppo}) {
    const bool mixed_in = p == phase::sft && job.has(phase::ppo) && job.ppo.ptx_coef > 0;
    if (contains(job.split.phases, p) || job.has(p) || feeds(job, phase::pairs, p) || mixed_in) {
      out.push_back(p);
    }
  }
  return out;
}

split_shares shares_for(const job& job, const data_section& set) {
  std::vector<phase> users = served_phases(set);
  if (contains(users, phase::pairs)) {
    users.insert(users.end(), job.pairs.phases.begin(), job.pairs.phases.end());
  }
  split_shares out;
  const std::array<std::pair<phase, double>, 3> shares = {
      std::pair{phase::sft, job.split.sft}, {phase::reward, job.split.reward}, {phase::ppo, job.split.ppo}};
  const std::array<double*, 3> places = {&out.sft, &out.reward, &out.ppo};
  const std::vector<phase> divided = divided_phases(job);
  for (size_t i = 0; i < shares.size(); ++i) {
    if (contains(users, shares[i].first) && contains(divided, shares[i].first)) {
      *places[i] = shares[i].second;
      out.held_out = job.split.held_out;
    }
  }
  return out;
}

}  // namespace troupe::io
