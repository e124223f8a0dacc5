#include "io/job/rows.hpp"

namespace troupe::io {

void add_replay_rows(std::vector<option>& table) {
  rows<replay_section> r(table, "replay", [](job& j, const std::string&) -> replay_section& { return j.replay; });
  r.add_path("of", &replay_section::of, "Folder of the run whose experience is learned from again. Required there.");
  r.add("from-iteration", &replay_section::from_iteration,
        "Start from the run's checkpoint after so many iterations; 0: from where its ppo phase started.", at_least(0));
  r.add("to-iteration", &replay_section::to_iteration, "The last iteration that is replayed. Required there.",
        at_least(0));
  r.add("verify", &replay_section::verify,
        "Every number must be the run's own to the last bit, and every option that influences one its own.");
  r.add("weights", &replay_section::weights,
        "How an answer's tokens count where the policy is no longer the one that sampled them. With w the ratio of the "
        "policy's probability, at the start of an iteration, to the stored one: none: w is part of PPO's ratio; "
        "truncated: w, at most high; masked: w within [low, high], else 0; sequence-mask: the product of w over the "
        "answer, within the bounds, else 0; geometric-mask: w of answers whose geometric mean is within them, else 0.");
  r.add("low", &replay_section::low, "Lower bound of the weights, by weights; with high 0: the rule's own.",
        at_least(0));
  r.add("high", &replay_section::high,
        "Upper bound. 0: the rule's own bounds, which are 0 to 2 (truncated), 0.5 to 5 (masked), 0 to 3 "
        "(sequence-mask), 0.999 to 1.002 (geometric-mask).",
        at_least(0));
  r.add("min-ess", &replay_section::min_ess,
        "Effective sample size of an iteration's answer tokens, as a share, below which the replay stops; 0: it goes "
        "on.",
        between(0, 1));
  r.add("max-kl", &replay_section::max_kl,
        "KL from the policy that sampled, in nats per token, beyond which the replay stops; 0: it goes on.",
        at_least(0));
  r.add("allow", &replay_section::allow,
        "What is refused otherwise: experience of another job or another policy than the checkpoint's, missing "
        "iterations (left out), groups that lack answers.");
}

}  // namespace troupe::io
