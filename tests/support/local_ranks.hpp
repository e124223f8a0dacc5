/// Ranks as threads of a test.
#pragma once

#include "engine/parallel/communicator.hpp"

#include <chrono>
#include <functional>
#include <thread>
#include <vector>

namespace troupe::test {

/// Runs `body` as every rank of a local world, each on a thread of its own; waiting for a peer ends at the deadline.
inline void as_local_ranks(int ranks, const std::function<void(engine::world&)>& body,
                           std::chrono::milliseconds deadline = std::chrono::minutes(1)) {
  const auto worlds = engine::local_worlds(ranks, deadline);
  std::vector<std::thread> threads;
  for (const auto& one : worlds) {
    threads.emplace_back([&body, &one] { body(*one); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

}  // namespace troupe::test
