#include "io/job/phase_rules.hpp"

#include "io/job/phases.hpp"

#include <algorithm>

namespace troupe::io {

bool of_pairs_and_their_phases(const job& job, const std::string&, phase of) {
  return of == phase::pairs || feeds(job, phase::pairs, of);
}

bool of_sft_and_mixture(const job& job, const std::string&, phase of) {
  return of == phase::sft || ((of == phase::ppo || of == phase::replay) && job.ppo.ptx_coef > 0);
}

static bool draws_from(const job& job, const data_section& set, phase of) {
  const std::vector<phase> served = served_phases(set);
  return std::any_of(served.begin(), served.end(),
                     [&](phase p) { return p == of || (p == phase::sft && of_sft_and_mixture(job, "", of)); });
}

bool of_phases_drawing(const job& job, const std::string& name, phase of) {
  if (feeds(job, phase::pairs, of)) {
    return true;  // the pairs are one set more, behind all others
  }
  const auto set = std::find_if(job.data.begin(), job.data.end(), [&](const auto& one) { return one.name == name; });
  return std::any_of(set, job.data.end(), [&](const data_section& one) { return draws_from(job, one, of); });
}

bool of_ppo_that_mixes(const job& job, const std::string&, phase of) {
  return job.experience.mix > 0 && (of == phase::ppo || of == phase::replay);
}

bool of_models_in_bf16(const job& job, const std::string&, phase) { return job.model.type != weight_type::f32; }

bool of_phases_judged(const job& job, const std::string& name, phase of) {
  return of == phase::ppo || of == phase::replay || (of == phase::pairs && name == job.pairs.reward);
}

}  // namespace troupe::io
