/// The files of experience and evaluations that iterations of the ppo phase leave in the run, and when they go.
#pragma once

#include "io/job/job.hpp"
#include "io/run/run_directory.hpp"

#include <cstdint>
#include <string>

namespace troupe::actors {

/// Removes the experience of iterations up to this one that the job does not keep: neither among the last, nor one of
/// every so many, nor among the best. A file that tells no mean reward is never among the best; one that cannot be
/// read stays, since nobody knows what it is worth.
/// Errors  io_failure, of all three.
void drop_old_experience(const io::run_directory& run, uint64_t iteration, const io::experience_section& keeps,
                         const io::attempt_fence& fence);

/// Removes what iterations after this one left behind: they are done again.
void drop_later_experience(const io::run_directory& run, uint64_t iteration, const io::attempt_fence& fence);

/// Gives the experience of an iteration that diverged a name that nothing else reads or removes: the iteration is done
/// again, and must not overwrite what shows how it went wrong the first time. Returns `reason`, naming that file; as it
/// was where none was kept. `rollback`: the number of this rollback, from 1.
std::string set_aside(const io::run_directory& run, uint64_t iteration, int64_t rollback, std::string reason,
                      const io::attempt_fence& fence);

}  // namespace troupe::actors
