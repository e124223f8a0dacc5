#include "actors/hosts/launcher.hpp"

#include "base/error.hpp"

#include <sys/wait.h>

#include <algorithm>
#include <cctype>
#include <csignal>
#include <limits>
#include <sstream>

namespace troupe::actors {

namespace {

constexpr int slurm_has_failed = 120;  // no exit status of a rank's, and no signal's

/// The host with most cores for each of its ranks once it has one more; the first of equals.
size_t roomiest(const std::vector<int64_t>& cpus, const std::vector<int64_t>& ranks) {
  size_t best = 0;
  for (size_t i = 1; i < cpus.size(); ++i) {
    // cpus[i] / (ranks[i] + 1) > cpus[best] / (ranks[best] + 1), in whole numbers
    if (cpus[i] * (ranks[best] + 1) > cpus[best] * (ranks[i] + 1)) {
      best = i;
    }
  }
  return best;
}

/// Ranks of each host: each next one goes where there is most room.
std::vector<int64_t> spread(const std::vector<int64_t>& cpus, int64_t ranks) {
  std::vector<int64_t> shares(cpus.size(), 0);
  for (; ranks > 0; --ranks) {
    ++shares[roomiest(cpus, shares)];
  }
  return shares;
}

/// The most ranks that a host has when all hosts are there.
int64_t full_share(const allocation& given, const placement& wanted) {
  const std::vector<int64_t> shares = spread(given.cpus, wanted.ranks);
  return *std::max_element(shares.begin(), shares.end());
}

/// Fewer nodes than min_nodes from the start: a requeue would give no more of them.
void check(const allocation& given, const placement& wanted) {
  if (const auto hosts = static_cast<int64_t>(given.hosts.size()); hosts < wanted.min_nodes) {
    throw error(errc::bad_argument,
                "Slurm gave {} nodes, place.min-nodes = {}: ask for at least as many (sbatch --nodes), or lower it",
                hosts, wanted.min_nodes);
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

struct left_hosts {
  std::vector<std::string> hosts;
  std::vector<int64_t> cpus;
};

left_hosts without(const allocation& given, const std::set<std::string>& excluded) {
  left_hosts left;
  for (size_t i = 0; i < given.hosts.size(); ++i) {
    if (!excluded.contains(given.hosts[i])) {
      left.hosts.push_back(given.hosts[i]);
      left.cpus.push_back(given.cpus[i]);
    }
  }
  return left;
}

launch_plan back_to_queue(std::string reason) {
  launch_plan plan;
  plan.kind = launcher_kind::srun;
  plan.requeue = true;
  plan.reason = std::move(reason);
  return plan;
}

launch_plan local_plan(const placement& wanted, int64_t local_cores) {
  launch_plan plan;
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
  const std::vector<int64_t> shares = spread(left.cpus, plan.ranks);
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

launch_plan choose(const std::optional<allocation>& given, const placement& wanted,
                   const std::set<std::string>& excluded_hosts, int64_t local_cores) {
  check(wanted);
  if (!given) {
    return local_plan(wanted, local_cores);
  }
  check(*given, wanted);
  const left_hosts left = without(*given, excluded_hosts);
  const auto hosts = static_cast<int64_t>(left.hosts.size());
  if (hosts == 0 || hosts < wanted.min_nodes) {
    return back_to_queue(
        fmt::format("{} of {} nodes are left, place.min-nodes = {}", hosts, given->hosts.size(), wanted.min_nodes));
  }
  launch_plan plan;
  plan.kind = launcher_kind::srun;
  plan.ranks = wanted.ranks;
  if (wanted.shrink) {
    plan.ranks = shrunk_ranks(wanted.ranks, wanted.lanes, full_share(*given, wanted) * hosts);
  }
  lay_out(plan, left, wanted, given->cpus_per_task);
  if (plan.ranks == 1 && plan.hosts.front().host == given->batch_host) {
    plan.kind = launcher_kind::child;
  }
  if (left.hosts.size() < given->hosts.size()) {
    plan.reason = fmt::format("{} of {} nodes are left for {} ranks", hosts, given->hosts.size(), plan.ranks);
  }
  return plan;
}

std::set<std::string> leave_out(const allocation& given, const placement& wanted, std::set<std::string> excluded,
                                const std::set<std::string>& doubtful) {
  auto left = static_cast<int64_t>(without(given, excluded).hosts.size());
  for (const std::string& host : doubtful) {
    if (left > std::max<int64_t>(1, wanted.min_nodes) && excluded.insert(host).second) {
      --left;
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
