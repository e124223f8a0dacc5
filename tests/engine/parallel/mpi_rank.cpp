// One rank of what mpi_test starts under mpirun: the checks that the local worlds pass too, or a rank that fails.
#include "base/error.hpp"
#include "engine/parallel/communicator.hpp"
#include "support/collective_checks.hpp"

#define OMPI_SKIP_MPICXX 1
#include <mpi.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>

/// How often this program's own transport has called MPI_Comm_free, which MPI lets a program put itself in front of.
static std::atomic<int> freed{0};

extern "C" int MPI_Comm_free(MPI_Comm* comm) {
  ++freed;
  return PMPI_Comm_free(comm);
}

namespace troupe::engine {
namespace {

constexpr std::chrono::minutes patient{2};
constexpr std::chrono::seconds impatient{2};  // enough for what comes before the fault, on a busy machine

int report(const test::findings& found) {
  for (const std::string& one : found) {
    fmt::print("wrong: {}\n", one);
  }
  return found.empty() ? 0 : 1;
}

int check_all(int ranks) {
  communicator_ptr outliving;
  int wrong = 0;
  int rank = -1;
  {
    const std::unique_ptr<world> w = mpi_world(ranks, patient);
    rank = w->rank();
    wrong += report(test::check_each_operation(*w));
    for (uint64_t seed = 0; seed < 5; ++seed) {
      wrong += report(test::check_many_in_flight(*w, seed, 40));
    }
    wrong += report(test::check_divided(*w));
    wrong += report(test::check_traffic(*w));
    outliving = w->open("outliving");
  }
  barrier(*outliving);
  outliving.reset();
  fmt::print("rank {}: {} checks failed\n", rank, wrong);
  try {
    mpi_world(ranks, patient);
    ++wrong;
  } catch (const error& e) {
    fmt::print("again: {}\n", e.what());
  }
  return wrong;
}

/// Rank 1 does `last_act` and the others wait for it.
template <class Act> int without_rank_1(int ranks, std::chrono::milliseconds deadline, const Act& last_act) {
  const std::unique_ptr<world> w = mpi_world(ranks, deadline);
  const communicator_ptr group = w->open("policy gradients");
  barrier(*group);
  if (w->rank() == 1) {
    last_act();
  }
  std::vector<float> values(1000);
  all_reduce(*group, values);
  fmt::print("rank {} went on\n", w->rank());
  return 0;
}

int open_different(int ranks) {
  const std::unique_ptr<world> w = mpi_world(ranks, patient);
  try {
    w->open(fmt::format("of rank {}", w->rank()));
  } catch (const error& e) {
    fmt::print("refused: {}\n", e.what());
  }
  return 0;
}

/// How many communicators were freed: while rank 1 has not dropped its own; then; after openings that divide the ranks
/// and were dropped in another order on each rank.
int free_dropped(int ranks) {
  const std::unique_ptr<world> w = mpi_world(ranks, patient);
  communicator_ptr first = w->open("first");
  if (w->rank() != 1) {
    first.reset();
  }
  const communicator_ptr stays = w->open("stays");
  const int while_one_has_it = freed;
  first.reset();
  std::vector<communicator_ptr> more = {w->open("one")};
  const int then = freed;
  const std::vector<int> pair = {0, 1};
  for (const std::string& name : {"two", "three", "four"}) {
    more.push_back(w->open(name));
    more.push_back(w->open(name + " of a pair", w->rank() < 2 ? std::span<const int>(pair) : std::span<const int>()));
  }
  for (communicator_ptr& one : more) {
    if (one != nullptr && one->size() == ranks) {
      barrier(*one);
    }
  }
  std::rotate(more.begin(), more.begin() + w->rank(), more.end());
  while (!more.empty()) {
    more.pop_back();
  }
  w->open("last");
  const int pairs = w->rank() < 2 ? 3 : 0;
  fmt::print("freed {} {} {}\n", while_one_has_it, then, freed - pairs);
  barrier(*stays);
  return 0;
}

int wait_impatiently(int ranks) {
  const std::unique_ptr<world> w = mpi_world(ranks, patient);
  const communicator_ptr group = w->open("activations");
  std::vector<std::byte> data(4);
  if (w->rank() == 0) {
    group->receive(data, 1, 0, {.label = "greeting", .deadline = std::chrono::milliseconds(500)}).wait();
  }
  barrier(*group);
  return 0;
}

int act(const std::string& part, int ranks) {
  if (part == "dropped") {
    return free_dropped(ranks);
  }
  if (part == "impatient") {
    return wait_impatiently(ranks);
  }
  if (part == "checks") {
    return check_all(ranks);
  }
  if (part == "killed") {
    return without_rank_1(ranks, patient, [] { raise(SIGKILL); });
  }
  if (part == "stopped") {
    return without_rank_1(ranks, impatient, [] { raise(SIGSTOP); });
  }
  return open_different(ranks);
}

}  // namespace
}  // namespace troupe::engine

int main(int argc, char** argv) {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  try {
    return argc == 3 ? troupe::engine::act(argv[1], std::atoi(argv[2])) : 2;
  } catch (const std::exception& e) {
    fmt::print("error: {}\n", e.what());
    return 1;
  }
}
