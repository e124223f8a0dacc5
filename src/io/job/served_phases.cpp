#include "io/job/job.hpp"

namespace troupe::io {

bool can_serve(data_format format, bool with_prompt_words, phase wanted) {
  switch (wanted) {
  case phase::sft:
    return true;
  case phase::reward:
    return format == data_format::pairs || format == data_format::hh_dialogue || format == data_format::conversations ||
           format == data_format::automatic;
  case phase::pairs:
  case phase::ppo:
    return format != data_format::text || with_prompt_words;
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

}  // namespace troupe::io
