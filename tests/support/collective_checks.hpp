/// What every implementation of a world must do. Each check runs on every rank at the same time, against naive twins
/// computed from all ranks' inputs, and returns what was wrong on this rank: nothing.
#pragma once

#include "engine/parallel/communicator.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace troupe::test {

using findings = std::vector<std::string>;

/// Every operation, alone, for many sizes and cuts into parts, in place and not.
findings check_each_operation(engine::world& world);

/// In which order ranks call operations of several communicators.
enum class calling_order { own, same };

/// Operations in flight on several communicators, which each rank interleaves and waits for in an order of its own; or
/// all call them in one order.
findings check_many_in_flight(engine::world& world, uint64_t seed, int operations,
                              calling_order order = calling_order::own);

/// Groups that divide the ranks, in an order of members of their own, working
/// at the same time; and ranks that are in none.
findings check_divided(engine::world& world);

/// Bytes counted against the formula of each operation.
findings check_traffic(engine::world& world);

}  // namespace troupe::test
