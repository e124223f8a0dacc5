/// The communicators of a phase. To open one is collective, so every rank of the job opens all of them in the same
/// order; those of a model are null on ranks that do not have it.
#pragma once

#include "actors/models/model_files.hpp"
#include "actors/stage/seating.hpp"
#include "engine/parallel/communicator.hpp"
#include "io/job/job.hpp"

#include <memory>
#include <string>

namespace troupe::actors {

class rank_groups {
public:
  explicit rank_groups(std::unique_ptr<engine::world> world) : world_(std::move(world)) {}

  int rank() const { return world_->rank(); }
  int size() const { return world_->size(); }
  seat all_ranks() const { return everywhere(rank(), size()); }
  /// By model, in the ppo phase.
  seating seats(const io::place_section& place) const { return seating_of(place, rank(), size()); }

  /// Of all ranks. `name` is for errors: "checkpoints".
  engine::communicator_ptr open(const std::string& name) const { return world_->open(name); }
  /// Of a model's ranks.
  engine::communicator_ptr open(const std::string& name, const seat& of) const;
  /// Of the ranks that share a model's weights, where its ZeRO stage is 3; null in other stages, without opening any.
  engine::communicator_ptr open_weights(const std::string& model, int64_t zero_stage, const seat& of) const;
  /// `how` with the groups of a model that learns: of its weights, and from stage 1 on of its masters, if it has any.
  model_loading open_learning(const std::string& model, int64_t zero_stage, model_loading how, const seat& of) const;
  /// Of the policy's ranks that generate with this one; null, without opening any, where each generates alone.
  engine::communicator_ptr open_generation(const io::place_section& place, const seat& policy) const;

private:
  std::unique_ptr<engine::world> world_;
};

/// A text that one rank of the group knows, on every rank; the others give none. Collective.
/// Errors  lost_peer.
std::string told_by_one(engine::communicator& group, const std::string& mine);

}  // namespace troupe::actors
