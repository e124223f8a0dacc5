/// Ranks as threads of a test, each with the communicators of a stage.
#pragma once

#include "actors/stage/rank_groups.hpp"

#include <chrono>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

namespace troupe::test {

/// Runs `body` as every rank of a local world, each on a thread of its own.
inline void as_rank_groups(int ranks, const std::function<void(actors::rank_groups&)>& body) {
  std::vector<std::thread> threads;
  for (auto& world : engine::local_worlds(ranks, std::chrono::minutes(1))) {
    threads.emplace_back([&body, joined = std::move(world)]() mutable {
      actors::rank_groups groups(std::move(joined));
      body(groups);
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

}  // namespace troupe::test
