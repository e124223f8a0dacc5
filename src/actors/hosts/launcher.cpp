#include "actors/hosts/launcher.hpp"

#include "base/error.hpp"
#include "engine/cards/local_card.hpp"

#include <fmt/ranges.h>
#include <sys/wait.h>

#include <algorithm>
#include <cctype>
#include <csignal>
#include <iterator>
#include <limits>
#include <sstream>

namespace troupe::actors {

namespace {

constexpr int slurm_has_failed = 120;  // no exit status of a rank's, and no signal's

constexpr int64_t any_number = std::numeric_limits<int64_t>::max();

struct left_hosts {
  std::vector<std::string> hosts;
  std::vector<int64_t> cpus;
  std::vector<int64_t> places;  ///< of each: ranks that it may have

  int64_t all_places() const {
    int64_t sum = 0;
    for (const int64_t one : places) {
      sum = one == any_number ? any_number : sum + one;
    }
    return sum;
  }
};

/// The host with most cores for each of its ranks once it has one more, of those with a place left; the first of
/// equals.
size_t roomiest(const left_hosts& left, const std::vector<int64_t>& ranks) {
  size_t best = left.hosts.size();
  for (size_t i = 0; i < left.hosts.size(); ++i) {
    // cpus[i] / (ranks[i] + 1) > cpus[best] / (ranks[best] + 1), in whole numbers
    if (ranks[i] < left.places[i] &&
        (best == left.hosts.size() || left.cpus[i] * (ranks[best] + 1) > left.cpus[best] * (ranks[i] + 1))) {
      best = i;
    }
  }
  return best;
}

/// Ranks of each host, which have a place for all: each next one goes where there is most room.
std::vector<int64_t> spread(const left_hosts& left, int64_t ranks) {
  std::vector<int64_t> shares(left.hosts.size(), 0);
  for (; ranks > 0; --ranks) {
    ++shares[roomiest(left, shares)];
  }
  return shares;
}

/// Where Slurm says how many cards a host has.
bool counts_cards(const allocation& given, const placement& wanted) {
  return wanted.on_cards && given.cards_per_host > 0;
}

left_hosts without(const allocation& given, const placement& wanted, const std::set<std::string>& excluded) {
  left_hosts left;
  for (size_t i = 0; i < given.hosts.size(); ++i) {
    if (!excluded.contains(given.hosts[i])) {
      left.hosts.push_back(given.hosts[i]);
      left.cpus.push_back(given.cpus[i]);
      left.places.push_back(counts_cards(given, wanted) ? given.cards_per_host : any_number);
    }
  }
  return left;
}

/// The most ranks that a host has when all hosts and cards are there.
int64_t full_share(const allocation& given, const placement& wanted) {
  const left_hosts all = without(given, wanted, {});
  const std::vector<int64_t> shares = spread(all, std::min(wanted.ranks, all.all_places()));
  return *std::max_element(shares.begin(), shares.end());
}

/// Whether what is left holds the job: with `shrink` some of its ranks.
bool is_enough(const left_hosts& left, const placement& wanted) {
  const auto hosts = std::count_if(left.places.begin(), left.places.end(), [](int64_t places) { return places > 0; });
  return hosts >= std::max<int64_t>(1, wanted.min_nodes) && left.all_places() >= (wanted.shrink ? 1 : wanted.ranks);
}

/// Takes the places of cards from what is left, as long as that stays enough. Returns which.
card_set leave_out(left_hosts& left, const placement& wanted, const card_set& doubtful) {
  card_set out;
  for (size_t i = 0; i < left.hosts.size(); ++i) {
    const auto cards = doubtful.find(left.hosts[i]);
    if (left.places[i] == any_number || cards == doubtful.end()) {
      continue;
    }
    for (const int64_t card : cards->second) {
      --left.places[i];
      if (left.places[i] >= 0 && is_enough(left, wanted)) {
        out[left.hosts[i]].insert(card);
      } else {
        ++left.places[i];
      }
    }
  }
  return out;
}

/// Fewer nodes than min_nodes from the start: a requeue would give no more of them.
void check(const allocation& given, const placement& wanted) {
  if (const auto hosts = static_cast<int64_t>(given.hosts.size()); hosts < wanted.min_nodes) {
    throw error(errc::bad_argument,
                "Slurm gave {} nodes, place.min-nodes = {}: ask for at least as many (sbatch --nodes), or lower it",
                hosts, wanted.min_nodes);
  }
  if (const int64_t cards = without(given, wanted, {}).all_places(); !wanted.shrink && cards < wanted.ranks) {
    throw error(errc::bad_argument,
                "Slurm gave {} cards, and each of the {} ranks (place.ranks) takes one: ask for more (sbatch --nodes, "
                "--gpus-per-node), or for fewer ranks",
                cards, wanted.ranks);
  }
}

void check(const placement& wanted) {
  if (wanted.ranks < 1) {
    throw error(errc::bad_argument, "place.ranks = {}: at least one rank is needed", wanted.ranks);
  }
  if (wanted.lanes > 1 && wanted.lanes % wanted.ranks != 0) {
    throw error(errc::bad_argument, "place.ranks = {} does not divide run.lanes = {}", wanted.ranks, wanted.lanes);
  }
}

launch_plan back_to_queue(std::string reason) {
  launch_plan plan;
  plan.kind = launcher_kind::srun;
  plan.requeue = true;
  plan.reason = std::move(reason);
  return plan;
}

launch_plan local_plan(const placement& wanted, int64_t local_cores, const card_set& doubtful_cards) {
  launch_plan plan;
  if (wanted.on_cards && !doubtful_cards.empty()) {
    plan.left_out = doubtful_cards;
    plan.reason = card_set_text(doubtful_cards) + " left out, where enough others are here";
  }
  plan.kind = wanted.ranks == 1 ? launcher_kind::child : launcher_kind::mpirun;
  plan.ranks = wanted.ranks;
  plan.threads_per_rank = wanted.threads_per_rank;
  if (wanted.ranks > 1 && wanted.threads_per_rank == 0) {
    plan.threads_per_rank = std::max<int64_t>(1, local_cores / wanted.ranks);
  }
  plan.crowded = wanted.ranks > local_cores;
  return plan;
}

/// Fills hosts, threads and crowding of `plan`, whose number of ranks is set.
void lay_out(launch_plan& plan, const left_hosts& left, const placement& wanted, int64_t cpus_per_task) {
  const std::vector<int64_t> shares = spread(left, plan.ranks);
  int64_t threads = cpus_per_task > 0 ? cpus_per_task : std::numeric_limits<int64_t>::max();
  for (size_t i = 0; i < shares.size(); ++i) {
    if (shares[i] > 0) {
      threads = std::min(threads, std::max<int64_t>(1, left.cpus[i] / shares[i]));
      plan.crowded = plan.crowded || shares[i] > left.cpus[i];
      plan.hosts.push_back({left.hosts[i], shares[i]});
    }
  }
  plan.threads_per_rank = wanted.threads_per_rank > 0 ? wanted.threads_per_rank : threads;
}

void set_unless_inherited(environment& extra, const environment& inherited, const char* name, const char* value) {
  if (!inherited.contains(name)) {
    extra.emplace(name, value);
  }
}

std::vector<std::string> srun_words(const launch_plan& plan) {
  std::vector<std::string> each;
  for (const host_share& share : plan.hosts) {
    each.insert(each.end(), static_cast<size_t>(share.ranks), share.host);
  }
  return {"srun",
          "--overlap",
          "--overcommit",
          "--kill-on-bad-exit=1",
          plan.ranks > 1 ? "--mpi=pmix" : "--mpi=none",
          fmt::format("--nodes={}", plan.hosts.size()),
          fmt::format("--ntasks={}", plan.ranks),
          "--distribution=arbitrary",
          fmt::format("--nodelist={}", fmt::join(each, ",")),
          "--cpu-bind=none",
          "--export=ALL",
          "--input=none"};
}

/// As ranks read it (local_card.hpp).
std::string left_out_text(const card_set& cards) {
  std::vector<std::string> each;
  for (const auto& [host, numbers] : cards) {
    for (const int64_t number : numbers) {
      each.push_back(fmt::format("{}:{}", host, number));
    }
  }
  return fmt::format("{}", fmt::join(each, " "));
}

std::vector<std::string> mpirun_words(const launch_plan& plan) {
  return {"mpirun", "-n", std::to_string(plan.ranks), "--oversubscribe", "--bind-to", "none"};
}

}  // namespace

const char* to_string(launcher_kind kind) {
  switch (kind) {
  case launcher_kind::child:
    return "child process";
  case launcher_kind::mpirun:
    return "mpirun";
  case launcher_kind::srun:
    break;
  }
  return "srun";
}

int64_t shrunk_ranks(int64_t ranks, int64_t lanes, int64_t places) {
  int64_t left = std::min(ranks, places);
  while (lanes > 1 && lanes % left != 0) {
    --left;
  }
  return left;
}

std::string card_set_text(const card_set& cards) {
  std::vector<std::string> by_host;
  for (const auto& [host, numbers] : cards) {
    const std::string of = host.empty() ? "" : " of " + host;
    by_host.push_back(fmt::format("card{} {}{}", numbers.size() == 1 ? "" : "s", fmt::join(numbers, ", "), of));
  }
  return fmt::format("{}", fmt::join(by_host, "; "));
}

launch_plan choose(const std::optional<allocation>& given, const placement& wanted,
                   const std::set<std::string>& excluded_hosts, int64_t local_cores, const card_set& doubtful_cards) {
  check(wanted);
  if (!given) {
    return local_plan(wanted, local_cores, doubtful_cards);
  }
  check(*given, wanted);
  left_hosts left = without(*given, wanted, excluded_hosts);
  const auto hosts = static_cast<int64_t>(left.hosts.size());
  if (hosts == 0 || hosts < wanted.min_nodes) {
    return back_to_queue(
        fmt::format("{} of {} nodes are left, place.min-nodes = {}", hosts, given->hosts.size(), wanted.min_nodes));
  }
  if (!is_enough(left, wanted)) {
    return back_to_queue(fmt::format("{} cards are left on {} of {} nodes, and each of {} ranks takes one",
                                     left.all_places(), hosts, given->hosts.size(), wanted.ranks));
  }
  launch_plan plan;
  plan.kind = launcher_kind::srun;
  plan.ranks = wanted.ranks;
  plan.cards_are_told_apart = !given->cards_per_rank;
  const int64_t full = full_share(*given, wanted);
  plan.left_out = leave_out(left, wanted, doubtful_cards);
  if (wanted.shrink) {
    int64_t places = 0;
    for (const int64_t of_host : left.places) {
      places += std::min(full, of_host);
    }
    plan.ranks = shrunk_ranks(wanted.ranks, wanted.lanes, places);
  }
  lay_out(plan, left, wanted, given->cpus_per_task);
  if (plan.ranks == 1 && plan.hosts.front().host == given->batch_host) {
    plan.kind = launcher_kind::child;
  }
  if (left.hosts.size() < given->hosts.size()) {
    plan.reason = fmt::format("{} of {} nodes are left for {} ranks", hosts, given->hosts.size(), plan.ranks);
  }
  if (!plan.left_out.empty()) {
    plan.reason += fmt::format("{}without {}, for {} ranks", plan.reason.empty() ? "" : "; ",
                               card_set_text(plan.left_out), plan.ranks);
  }
  return plan;
}

std::set<std::string> leave_out(const allocation& given, const placement& wanted, std::set<std::string> excluded,
                                const std::set<std::string>& doubtful) {
  for (const std::string& host : doubtful) {
    std::set<std::string> more = excluded;
    more.insert(host);
    if (is_enough(without(given, wanted, more), wanted)) {
      excluded = std::move(more);
    }
  }
  return excluded;
}

std::string host_of(const launch_plan& plan, int64_t rank) {
  for (const host_share& one : plan.hosts) {
    if (rank < one.ranks) {
      return one.host;
    }
    rank -= one.ranks;
  }
  return "";
}

std::optional<int64_t> rank_with_card(const launch_plan& plan, const std::string& host, int64_t number) {
  const auto out = plan.left_out.find(host);
  const auto before =
      out == plan.left_out.end() ? 0 : std::distance(out->second.begin(), out->second.lower_bound(number));
  const int64_t of_host = number - before;
  if (plan.hosts.empty()) {  // where ranks may pass over no card after all
    return plan.ranks == 1                                 ? std::optional<int64_t>(0)
           : of_host < plan.ranks && plan.left_out.empty() ? std::optional(of_host)
                                                           : std::nullopt;
  }
  int64_t first = 0;
  for (const host_share& one : plan.hosts) {
    if (one.host == host) {
      return of_host < one.ranks ? std::optional(first + of_host) : std::nullopt;
    }
    first += one.ranks;
  }
  return std::nullopt;
}

launch_command command_for(const launch_plan& plan, const std::vector<std::string>& worker,
                           const environment& inherited, bool as_root) {
  if (plan.ranks < 1 || worker.empty() || (plan.kind == launcher_kind::srun && plan.hosts.empty())) {
    throw error(errc::bad_argument, "a launch needs ranks, their hosts and a program: {} ranks on {} hosts", plan.ranks,
                plan.hosts.size());
  }
  launch_command start;
  if (plan.kind == launcher_kind::srun) {
    start.argv = srun_words(plan);
    start.extra.emplace("SLURM_EXIT_ERROR", std::to_string(slurm_has_failed));
  } else if (plan.kind == launcher_kind::mpirun) {
    start.argv = mpirun_words(plan);
    set_unless_inherited(start.extra, inherited, "OMPI_MCA_odls_base_sigkill_timeout", "0");
    // Ranks of one host need no network: with shared memory alone none of them listens on a port.
    set_unless_inherited(start.extra, inherited, "OMPI_MCA_btl", "self,vader");
    if (inherited.contains("SLURM_JOB_ID")) {  // of a job that this shell is not in: mpirun would look for its nodes
      set_unless_inherited(start.extra, inherited, "OMPI_MCA_ras", "^slurm");
      set_unless_inherited(start.extra, inherited, "OMPI_MCA_plm", "^slurm");
    }
    if (as_root) {
      set_unless_inherited(start.extra, inherited, "OMPI_ALLOW_RUN_AS_ROOT", "1");
      set_unless_inherited(start.extra, inherited, "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    }
  }
  if (plan.crowded && plan.kind != launcher_kind::child) {
    set_unless_inherited(start.extra, inherited, "OMPI_MCA_mpi_yield_when_idle", "1");
  }
  if (!plan.left_out.empty()) {
    start.extra.emplace(engine::cards_left_out, left_out_text(plan.left_out));
  }
  start.argv.insert(start.argv.end(), worker.begin(), worker.end());
  return start;
}

bool is_refusal(int wait_status, std::string_view said) {
  // Where a node's daemon fails srun has begun already, and ends with the status of the ranks that were ended.
  return (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == slurm_has_failed) ||
         said.find("launch failed") != std::string_view::npos;
}

std::set<std::string> named_hosts(const launch_plan& plan, const std::string& said) {
  std::set<std::string> named;
  std::string word;
  for (const char c : said + "\n") {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.') {
      word += c;
      continue;
    }
    if (std::any_of(plan.hosts.begin(), plan.hosts.end(), [&](const host_share& one) { return one.host == word; })) {
      named.insert(word);
    }
    word.clear();
  }
  return named.size() < plan.hosts.size() ? named : std::set<std::string>{};
}

std::vector<std::string> wrapped(std::string_view wrapper, const std::vector<std::string>& command) {
  std::vector<std::string> words;
  std::istringstream in{std::string(wrapper)};
  for (std::string word; in >> word;) {
    words.push_back(word);
  }
  words.insert(words.end(), command.begin(), command.end());
  return words;
}

launch_command guard_command_for(const std::vector<std::string>& hosts, const std::vector<std::string>& guard) {
  if (hosts.empty() || guard.empty()) {
    throw error(errc::bad_argument, "guards need hosts and a program: {} hosts", hosts.size());
  }
  launch_command start;
  start.argv = {"srun",
                "--overlap",
                "--overcommit",
                "--no-kill",
                "--kill-on-bad-exit=0",
                "--mpi=none",
                fmt::format("--nodes={}", hosts.size()),
                fmt::format("--ntasks={}", hosts.size()),
                fmt::format("--nodelist={}", fmt::join(hosts, ",")),
                "--export=ALL",
                "--input=none",
                "--quiet"};
  start.argv.insert(start.argv.end(), guard.begin(), guard.end());
  return start;
}

int stop_signal(launcher_kind kind) { return kind == launcher_kind::child ? SIGKILL : SIGTERM; }

}  // namespace troupe::actors
