#include "jobs/plan_fit.hpp"

#include "jobs/plan_text.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

const phase_plan& fullest_phase(const std::vector<phase_plan>& plans, memory_kind of) {
  const auto less = [of](const phase_plan& a, const phase_plan& b) {
    return a.fullest(of).bytes(of) < b.fullest(of).bytes(of);
  };
  return *std::max_element(plans.begin(), plans.end(), less);
}

int64_t peak_of(const std::vector<phase_plan>& plans, memory_kind of) {
  return fullest_phase(plans, of).fullest(of).bytes(of);
}

int64_t bytes_of(const planned_memory& item, memory_kind of) {
  return of == memory_kind::card ? item.card_bytes : item.bytes;
}

/// The largest of what is held at the worst moment: "policy moments 102.83 GB, ...".
std::string largest_items(const rank_plan& rank, memory_kind of) {
  const held_in part = rank.fullest(of);
  std::vector<planned_memory> held;
  for (const planned_memory& item : rank.memory) {
    if (bytes_of(item, of) > 0 && (item.when == held_in::always || item.when == part)) {
      held.push_back(item);
    }
  }
  std::stable_sort(held.begin(), held.end(),
                   [of](const auto& a, const auto& b) { return bytes_of(a, of) > bytes_of(b, of); });
  constexpr size_t most = 4;
  std::vector<std::string> told;
  for (size_t i = 0; i < std::min(most, held.size()); ++i) {
    told.push_back(fmt::format("{} {}", held[i].name, bytes_text(bytes_of(held[i], of))));
  }
  return fmt::format("{}", fmt::join(told, ", "));
}

std::string worst_moment(const std::vector<phase_plan>& plans, memory_kind of) {
  const phase_plan& phase = fullest_phase(plans, of);
  const rank_plan& rank = phase.fullest(of);
  return fmt::format("{} needs {}{} ({})", phase.phase, bytes_text(rank.bytes(of)), moment_text(rank.fullest(of)),
                     largest_items(rank, of));
}

/// A change of the job that takes less of a card. It returns the options that say so; none: nothing is left to change.
using remedy = std::vector<std::string> (*)(io::job&);

std::vector<std::string> recompute_activations(io::job& job) {
  if (std::exchange(job.run.activation_checkpointing, true)) {
    return {};
  }
  return {"--run.activation-checkpointing true"};
}

/// To as little as holds a sequence, by halves.
std::vector<std::string> halve_cache(io::job& job) {
  const int64_t half = std::max(job.generation.cache_mib / 2, least_cache_mib(job));
  if (half >= job.generation.cache_mib) {
    return {};
  }
  job.generation.cache_mib = half;
  return {fmt::format("--generation.cache-mib {}", half)};
}

/// Down to the longest sequence or pair, by halves.
std::vector<std::string> halve_micro_batches(io::job& job) {
  std::vector<std::string> options;
  const auto halve = [&](io::phase phase, const char* name, int64_t& tokens, int64_t least) {
    const int64_t half = std::max(tokens / 2, least);
    if (job.has(phase) && half < tokens) {
      tokens = half;
      options.push_back(fmt::format("--{}.micro-batch-tokens {}", name, half));
    }
  };
  const int64_t longest = job.length.max_tokens;
  halve(io::phase::sft, "sft", job.sft.training.micro_batch_tokens, longest);
  halve(io::phase::reward, "reward", job.reward.training.micro_batch_tokens, 2 * longest);
  halve(io::phase::ppo, "ppo", job.ppo.micro_batch_tokens, longest);
  return options;
}

/// ZeRO stage 3, of which a card holds the segments in use alone.
std::vector<std::string> share_weights(io::job& job) {
  io::place_section& place = job.place;
  if (place.ranks == 1) {
    return {};
  }
  std::vector<std::string> options;
  const auto share = [&](const char* name, int64_t& zero) {
    if (std::exchange(zero, 3) != 3) {
      options.push_back(fmt::format("--place.{}-zero 3", name));
    }
  };
  if (job.has(io::phase::sft) || job.learns_by_ppo()) {
    share("policy", place.policy_zero);
  }
  if (job.has(io::phase::reward)) {
    share("reward", place.reward_zero);
  }
  if (job.learns_by_ppo()) {
    share("critic", place.critic_zero);
    share("frozen", place.frozen_zero);
  }
  return options;
}

/// Of models that only score a card has the segments in use then.
std::vector<std::string> stream_frozen(io::job& job) {
  if (!job.has(io::phase::ppo) || std::exchange(job.place.frozen, io::memory_place::host) == io::memory_place::host) {
    return {};
  }
  return {"--place.frozen host"};
}

std::vector<std::string> learn_on_host(io::job& job) {
  if (std::exchange(job.place.optimizer, io::memory_place::host) == io::memory_place::host) {
    return {};
  }
  return {"--place.optimizer host"};
}

/// Where there is one alone, of which nothing can be shared.
std::vector<std::string> take_two_ranks(io::job& job) {
  if (job.place.ranks > 1 || (job.run.lanes > 1 && job.run.lanes % 2 != 0)) {
    return {};
  }
  job.place.ranks = 2;
  return {"--place.ranks 2"};
}

std::vector<std::string> round_weights(io::job& job) {
  if (std::exchange(job.model.type, io::weight_type::bf16) == io::weight_type::bf16) {
    return {};
  }
  return {"--model.dtype bf16"};
}

/// The last value of each option.
std::vector<std::string> settled(const std::vector<std::string>& options) {
  const auto name = [](const std::string& option) { return option.substr(0, option.find(' ')); };
  std::vector<std::string> last;
  for (const std::string& option : options) {
    std::erase_if(last, [&](const std::string& before) { return name(before) == name(option); });
    last.push_back(option);
  }
  return last;
}

/// What a job becomes by a row of remedies.
struct remedied {
  io::job job;
  std::vector<std::string> options;

  bool take(remedy change) {
    const std::vector<std::string> more = change(job);
    options.insert(options.end(), more.begin(), more.end());
    return !more.empty();
  }
  bool fits(int64_t card_bytes) const { return peak_of(plan_job(job), memory_kind::card) <= card_bytes; }
};

}  // namespace

std::optional<std::vector<std::string>> options_that_fit_card(const io::job& job, int64_t card_bytes) {
  remedied all{job, {}};
  std::vector<remedy> steps;
  for (const remedy change : {recompute_activations, halve_cache, share_weights, stream_frozen, halve_micro_batches,
                              round_weights, learn_on_host, take_two_ranks, share_weights}) {
    while (!all.fits(card_bytes) && all.take(change)) {
      steps.push_back(change);
    }
  }
  if (!all.fits(card_bytes)) {
    return std::nullopt;
  }
  for (size_t i = 0; i < steps.size();) {  // those that the later ones have made needless
    std::vector<remedy> fewer = steps;
    fewer.erase(fewer.begin() + static_cast<ptrdiff_t>(i));
    remedied without{job, {}};
    for (const remedy change : fewer) {
      without.take(change);
    }
    if (without.fits(card_bytes)) {
      steps = std::move(fewer);
      all = std::move(without);
    } else {
      ++i;
    }
  }
  return settled(all.options);
}

std::vector<std::string> misfits_of_plan(const io::job& job, const std::vector<phase_plan>& plans,
                                         const memory_there& there) {
  std::vector<std::string> told;
  if (there.card_bytes >= 0 && peak_of(plans, memory_kind::card) > there.card_bytes) {
    const auto options = options_that_fit_card(job, there.card_bytes);
    told.push_back(fmt::format(
        "it does not fit the card, which has {}: {}. {}", bytes_text(there.card_bytes),
        worst_moment(plans, memory_kind::card),
        options ? fmt::format("It would with {}", fmt::join(*options, " "))
                : "No option makes it fit: while it generates, a card holds all weights of the policy (or its part of "
                  "them, with place.tensor-parallel). Take larger cards, or a smaller model"));
  }
  if (there.host_bytes >= 0 && peak_of(plans, memory_kind::host) > there.host_bytes) {
    told.push_back(fmt::format("it does not fit the host's memory, {} for a rank: {}. More ranks divide what learns "
                               "(place.policy-zero, critic-zero and reward-zero 1 to 3) and the checkpoint's copy, "
                               "where they are on hosts of their own; run.checkpoint-copy = false needs no copy of "
                               "what learns in host memory, ppo.ema-decay = 0 no average",
                               bytes_text(there.host_bytes), worst_moment(plans, memory_kind::host)));
  }
  return told;
}

}  // namespace troupe
