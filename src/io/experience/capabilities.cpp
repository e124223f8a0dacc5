#include "io/experience/capabilities.hpp"

#include "base/error.hpp"

#include <cmath>
#include <map>

namespace troupe::io {
namespace {

struct known_need {
  bool capabilities::*is;
  const char* word;       ///< in a list of what is there
  const char* what;       ///< what a method needs
  const char* otherwise;  ///< how it is had
};

constexpr known_need known_needs[] = {
    {&capabilities::log_probs, "log-probs", "the log-probabilities of the policy that sampled",
     "troupe score MODEL --experience fills in those of a model"},
    {&capabilities::reference, "reference log-probs", "the log-probabilities under a reference",
     "score the answers with one, or set the KL's coefficient to 0"},
    {&capabilities::values, "values", "a critic's values", "score the answers with a critic, or take a method without"},
    {&capabilities::rewards, "rewards", "rewards", "score the answers with a rule or a reward model"},
    {&capabilities::groups, "groups", "several scored samples of a prompt",
     "take a method for single answers, or an import whose lines tell their group"},
    {&capabilities::texts, "texts", "prompts and answers as text",
     "set experience.text, or import with the tokenizer that reads the tokens"},
    {&capabilities::labels, "labels", "the answers that rules compare with",
     "take experience of data that has them, stored with experience.text"},
    {&capabilities::exact_replay, "exact replay", "all of a rollout, as this Troupe stored it",
     "let the run store it again, or replay it with other settings as a run of its own"},
};

bool has_rewards(const experience& e) {
  for (int64_t b = 0; b < e.sequences(); ++b) {
    if (!e.reward_names.empty() && std::isfinite(e.score(b))) {
      return true;
    }
  }
  return false;
}

bool has_groups(const experience& e) {
  std::map<uint64_t, int> scored;
  for (size_t b = 0; b < e.group_B.size(); ++b) {
    if (std::isfinite(e.score(static_cast<int64_t>(b))) && ++scored[e.group_B[b]] > 1) {
      return true;
    }
  }
  return false;
}

/// Where there is no answer token, nothing is missing.
bool there(const experience& e, const std::vector<float>& values_A) {
  return !values_A.empty() || e.answer_tokens() == 0;
}

}  // namespace

capabilities capabilities_of(const experience& e) {
  capabilities c;
  c.log_probs = e.behaviour != behaviour_source::unknown && there(e, e.logprob_old_A);
  c.reference = there(e, e.logprob_ref_A);
  c.values = there(e, e.value_A);
  c.rewards = has_rewards(e);
  c.groups = c.rewards && has_groups(e);
  c.texts = !e.prompt_text_B.empty() && !e.answer_text_B.empty();
  c.labels = !e.label_text_B.empty();
  c.exact_replay = e.complete && e.behaviour == behaviour_source::sampled && e.shaping.has_value() && c.log_probs &&
                   c.reference && there(e, e.reward_shaped_A) && there(e, e.advantage_A) && !e.reward_weight_S.empty();
  return c;
}

std::string describe(const capabilities& c) {
  std::string has = "tokens";
  std::string lacks;
  for (const known_need& need : known_needs) {
    std::string& list = c.*need.is ? has : lacks;
    list += (list.empty() ? "" : ", ") + std::string(need.word);
  }
  return lacks.empty() ? has : has + "; no " + lacks;
}

void require_served(const experience& e, bool capabilities::*need, std::string_view method, const std::string& where) {
  if (capabilities_of(e).*need) {
    return;
  }
  for (const known_need& known : known_needs) {
    if (known.is == need) {
      throw error(errc::unsupported, "{}: {} cannot be had without {}, which this experience has not: {}", where,
                  method, known.what, known.otherwise);
    }
  }
}

}  // namespace troupe::io
