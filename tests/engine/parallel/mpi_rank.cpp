// One rank of what mpi_test starts under mpirun: the checks that the local worlds pass too, or a rank that fails.
#include "engine/parallel/communicator.hpp"
#include "kernels/base/error.hpp"
#include "support/collective_checks.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>

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

int act(const std::string& part, int ranks) {
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
