/// Which of a host's cards a rank takes.
#pragma once

#include "base/device.hpp"

#include <functional>
#include <memory>
#include <string>

namespace troupe::engine {

/// The environment variable by which a supervisor has ranks pass over cards: "node2:1 node2:3 :0", the number of a card
/// behind the host (SLURMD_NODENAME), which may be empty: any.
inline constexpr const char* cards_left_out = "TROUPE_CARDS_LEFT_OUT";

/// The number of this rank among those of its host, as its launcher tells it by OMPI_COMM_WORLD_LOCAL_RANK or
/// SLURM_LOCALID; 0 where neither does, and where Slurm shows each rank cards of its own (SLURM_GPUS_PER_TASK).
/// `variable` gives those of the environment, or null. mpirun goes first: within a Slurm job its ranks inherit the
/// SLURM_LOCALID of the batch script.
/// Cards that `cards_left_out` names are passed over, so that the next rank takes the next of the others; but where
/// fewer are left than a host has ranks (OMPI_COMM_WORLD_LOCAL_SIZE, or one), none is.
/// Errors  bad_argument: the host has fewer cards than ranks; a variable that is no number.
int local_card(const std::function<const char*(const char*)>& variable, int cards);

/// This process's card, by the usual places of the module and the environment of the process.
/// Errors  unsupported: there is none: why, and what to do, behind `asked_by` ("place.device = cuda"); those of
///         local_card and card_module::open.
std::unique_ptr<device> open_local_card(const std::string& asked_by);

}  // namespace troupe::engine
