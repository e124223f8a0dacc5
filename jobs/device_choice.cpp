#include "jobs/device_choice.hpp"

#include "io/run/job_of_run.hpp"
#include "jobs/arguments.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace troupe {

namespace {

std::string too_few(int64_t ranks, const char* who_has, int64_t cards) {
  return fmt::format("each of the {} ranks (place.ranks) takes a card of its own, and {} {}", ranks, who_has, cards);
}

/// `why`: what of the job says that it has to be cards.
void require_cards(const engine::card_module& cards, int64_t ranks, bool ranks_are_here, const std::string& why) {
  if (cards.cards() == 0) {
    throw usage_error("{}: {}", why, cards.why_none());
  }
  if (ranks_are_here && ranks > cards.cards()) {
    throw usage_error("{}: {}: give --place.ranks {} or fewer, or run under Slurm", why,
                      too_few(ranks, "this host has", cards.cards()), cards.cards());
  }
}

/// Why a run that may take cards takes none; empty: it takes them.
std::string why_none_taken(const engine::card_module& cards, int64_t ranks,
                           const std::optional<actors::allocation>& given) {
  if (cards.cards() == 0) {
    return cards.why_none();
  }
  if (given && !given->has_cards) {
    return "Slurm gave this job none";
  }
  const int64_t cards_given =
      given ? static_cast<int64_t>(given->hosts.size()) * given->cards_per_host : int64_t{cards.cards()};
  if (ranks > cards_given && (!given || given->cards_per_host > 0)) {
    return too_few(ranks, given ? "Slurm gave this job" : "this host has", cards_given);
  }
  for (int64_t i = 0; i < std::min<int64_t>(ranks, cards.cards()); ++i) {
    const engine::card_answer& card = cards.answers()[static_cast<size_t>(i)];
    if (!card.failure.empty() || !card.facts.lacks.empty()) {
      return card.failure.empty() ? fmt::format("{}: {}", card.facts.name, card.facts.lacks) : card.failure;
    }
  }
  return "";
}

}  // namespace

io::device_choice settled_device(const io::place_section& place, std::optional<io::device_choice> before,
                                 const std::optional<actors::allocation>& given, const engine::module_places& places) {
  using io::device_choice;
  if (place.device == device_choice::cpu) {
    return device_choice::cpu;
  }
  const engine::card_module cards(places);
  const device_facts* const first = cards.first_facts();
  if (place.device == device_choice::cuda) {
    require_cards(cards, place.ranks, !given, "place.device = cuda");
    return device_choice::cuda;
  }
  if (before == device_choice::cuda) {
    require_cards(cards, place.ranks, !given,
                  "place.device = auto, and the run has computed on cards so far (place.device = cpu goes on without)");
    return device_choice::cuda;
  }
  if (before) {
    if (first != nullptr) {
      spdlog::info("there is {}: the run goes on on the CPU, where it began; place.device = cuda goes on there",
                   card_text(*first));
    }
    return device_choice::cpu;
  }
  const std::string reason = why_none_taken(cards, place.ranks, given);
  if (reason.empty()) {
    spdlog::info("each rank computes on a card: {}", card_text(*first));
    return device_choice::cuda;
  }
  if (first != nullptr || (given && given->has_cards)) {
    spdlog::warn("the run computes on the CPU and takes no card: {}", reason);
  }
  return device_choice::cpu;
}

io::device_choice settled_device(const io::job& job) {
  return settled_device(job.place, device_so_far(job), actors::read_allocation(actors::current_environment()),
                        engine::usual_places());
}

std::optional<io::device_choice> device_so_far(const io::job& job) {
  const std::optional<io::job> begun = io::begun_job(job.run.dir);
  return begun ? std::optional(begun->place.device) : std::nullopt;
}

std::string card_text(const device_facts& card) {
  return fmt::format("{}, {:.1f} GiB, architecture {}.{}, driver {}, {}{}{}", card.name,
                     static_cast<double>(card.bytes) / (1 << 30), card.major, card.minor, card.driver, card.libraries,
                     card.lacks.empty() ? "" : "; ", card.lacks);
}

}  // namespace troupe
