/// What ranks have found, each in its share of the work, for all of them: results, or the error that one of them met.
#pragma once

#include "base/error.hpp"
#include "engine/parallel/communicator.hpp"

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace troupe::engine {

/// Runs `work`. An error that does not keep this rank from the collectives that follow is returned, to be shared by
/// gather_results; any other goes on its way.
///   goes_on    the rank can take part in all that follows after any error; else only after one of an objective
///              (errc::not_finite), which is thrown when the pass that it belongs to has ended (micro_batch.hpp).
std::optional<error> error_to_share(bool goes_on, const std::function<void()>& work);

/// Every rank's bytes, by rank, if none has failed. Otherwise all ranks throw the error of the first that has, so that
/// none waits for another and all say the same. Collective.   `group`: null: one rank alone.
/// Errors
///   lost_peer; `failure` of any rank, with the rank's number behind its text.
std::vector<std::vector<std::byte>> gather_results(communicator* group, std::span<const std::byte> mine,
                                                   const std::optional<error>& failure,
                                                   const operation_options& options);

}  // namespace troupe::engine
