/// Where and how the ranks of an attempt are started: decisions only, no process is touched here. The supervisor reads
/// its allocation once, chooses a plan for every attempt, and starts the plan's command as a child process.
///
///   const auto given = read_allocation(current_environment());
///   const launch_plan plan = choose(given, wanted, excluded_hosts);
///   if (plan.requeue) { run requeue_command(*given); }
///   const launch_command start = command_for(plan, worker_argv, current_environment(), geteuid() == 0);
///   child_process child(start.argv, on_exit, start.extra);
///   to end it: child.signal(stop_signal(plan.kind)), and SIGKILL only if it is still there seconds later
#pragma once

#include "actors/hosts/allocation.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::actors {

/// What the job asks for: [place] and run.lanes.
struct placement {
  int64_t ranks = 1;
  int64_t min_nodes = 0;         ///< fewer hosts left, or none: the job goes back into the queue
  bool shrink = false;           ///< fewer hosts, fewer ranks; false: the same ranks, packed on the hosts left
  int64_t lanes = 1;             ///< above 1: the number of ranks must divide it
  int64_t threads_per_rank = 0;  ///< 0: the cores of a host divided among its ranks
  bool on_cards = false;         ///< each rank takes a card of its own
};

/// Cards by host: their numbers among those that ranks there are shown. Outside of Slurm the host has no name ("").
using card_set = std::map<std::string, std::set<int64_t>>;

/// "card 1 of node2", "cards 0, 3 of node2; card 1 of node4".
std::string card_set_text(const card_set& cards);

enum class launcher_kind { child, mpirun, srun };
const char* to_string(launcher_kind kind);

struct host_share {
  std::string host;
  int64_t ranks = 0;  ///< at least 1
  bool operator==(const host_share&) const = default;
};

struct launch_plan {
  launcher_kind kind = launcher_kind::child;
  int64_t ranks = 0;
  int64_t threads_per_rank = 0;      ///< for the worker's --run.threads; 0: all cores of the machine
  std::vector<host_share> hosts;     ///< in the order of ranks: ranks 0.. are the first host's. Empty outside of Slurm
  bool crowded = false;              ///< some host has more ranks than cores: MPI must not spin
  bool requeue = false;              ///< too little is left: start nothing (ranks is 0), see reason
  std::string reason;                ///< why fewer hosts or ranks than asked for, or why requeue; empty: as asked for
  card_set left_out;                 ///< that no rank is to take
  bool cards_are_told_apart = true;  ///< by their numbers; false: Slurm shows each rank its own, and all are card 0
};

/// What place.shrink leaves of `ranks` where there are only so many places (at least 1): as many as find one and, with
/// `lanes` above 1, divide it.
int64_t shrunk_ranks(int64_t ranks, int64_t lanes, int64_t places);

/// Decides where the ranks of the next attempt run; a function of its arguments alone.
///
/// Outside of Slurm: a child process for one rank, mpirun for more (`local_cores` tells whether they are crowded).
/// In an allocation: hosts that are not excluded are filled in their order, each next rank going where it has most
/// cores per rank, so equal hosts get equal shares and what a job does not need of the hosts are its spares, taken
/// from the end of the list. One rank that falls on the batch host is a child process; all else is srun's.
/// With `shrink` a host never gets more ranks than at full strength; the number of ranks falls to the largest
/// that fits and divides `lanes`.
/// On cards a host gets no more ranks than Slurm gave it cards, where it says how many. Of `doubtful_cards` as many are
/// left out, in their order, as the job can do without: a card for each rank stays, or with `shrink` a rank at all.
/// Outside of Slurm nobody here knows how many cards there are: ranks leave out those that they can (local_card.hpp).
/// Errors  bad_argument: ranks below 1, or not dividing lanes; an allocation of fewer hosts than min_nodes, or, without
///         shrink, of fewer cards than ranks.
launch_plan choose(const std::optional<allocation>& given, const placement& wanted,
                   const std::set<std::string>& excluded_hosts, int64_t local_cores = 1,
                   const card_set& doubtful_cards = {});

/// `excluded`, and of the `doubtful` hosts as many, in their order, as the job can do without: at least one host and
/// place.min-nodes of them stay, and on cards as many as its ranks take. A doubtful host is better than none.
std::set<std::string> leave_out(const allocation& given, const placement& wanted, std::set<std::string> excluded,
                                const std::set<std::string>& doubtful);

/// Where this rank runs, by Slurm's name; empty outside of Slurm.
std::string host_of(const launch_plan& plan, int64_t rank);

/// A rank that takes card `number` of a host, as far as the plan tells: ranks of a host take its cards in their order
/// (local_card.hpp). None: no rank of that host does.
std::optional<int64_t> rank_with_card(const launch_plan& plan, const std::string& host, int64_t number);

struct launch_command {
  std::vector<std::string> argv;  ///< the first may be a bare name, looked up in PATH
  environment extra;              ///< set on top of what is inherited
};

/// The command that starts `plan`'s ranks, each running `worker` (program and arguments).
///   child   the worker itself
///   mpirun  -n N --oversubscribe --bind-to none, ranks killed without the second of grace; as root with Open MPI's two
///           variables of consent
///   srun    --overlap (the step before may not be gone), --kill-on-bad-exit=1 (a dead rank ends the step at once),
///           --mpi=pmix (the only one that Debian's Open MPI speaks), --nodelist with --distribution=arbitrary (a host
///           named once per rank), --overcommit, --cpu-bind=none, --export=ALL, --input=none; SLURM_EXIT_ERROR, so that
///           its exit status tells a failure of Slurm from one of a rank (is_refusal)
/// Open MPI is told to yield when crowded. A variable of its own that the user has set is never overridden.
/// Errors  bad_argument: a plan without ranks, or an empty worker.
launch_command command_for(const launch_plan& plan, const std::vector<std::string>& worker,
                           const environment& inherited, bool as_root);

/// Whether srun, and not a rank, has failed to start an attempt: Slurm's controller is away, or a node's daemon cannot
/// make the ranks. `said`: on its standard error.
bool is_refusal(int wait_status, std::string_view said);

/// The hosts of the plan that `said` names; none where it names them all.
std::set<std::string> named_hosts(const launch_plan& plan, const std::string& said);

/// `command` behind the words of `wrapper` (place.wrapper), which stand apart by blanks.
std::vector<std::string> wrapped(std::string_view wrapper, const std::vector<std::string>& command);

/// The command that starts a guard (guard.hpp) on each of these hosts. It outlives the loss of hosts (--no-kill).
/// Errors  bad_argument: no hosts, or an empty guard.
launch_command guard_command_for(const std::vector<std::string>& hosts, const std::vector<std::string>& guard);

/// What ends an attempt at once: SIGKILL for a child; SIGTERM for mpirun and srun, which kill their ranks (stopped ones
/// too) and end. Killed themselves, mpirun leaves its ranks to notice (about 1 s, a stopped rank never does), and srun
/// leaves them to the nodes' daemons.
int stop_signal(launcher_kind kind);

}  // namespace troupe::actors
