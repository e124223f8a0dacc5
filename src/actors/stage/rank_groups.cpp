#include "actors/stage/rank_groups.hpp"

#include "actors/models/plan_options.hpp"

#include <cstddef>
#include <span>
#include <vector>

namespace troupe::actors {

engine::communicator_ptr rank_groups::open(const std::string& name, const seat& of) const {
  return world_->open(name, of.here() ? std::span<const int>(of.members) : std::span<const int>());
}

engine::communicator_ptr rank_groups::open_weights(const std::string& model, int64_t zero_stage, const seat& of) const {
  const bool shared = zero_stage == 3 && of.ranks() > 1;
  return shared ? open(model + " weights", of) : nullptr;
}

model_loading rank_groups::open_learning(const std::string& model, int64_t zero_stage, model_loading how,
                                         const seat& of) const {
  how.name = model;
  how.group = open_weights(model, zero_stage, of);
  if (how.has_masters() && zero_stage > 0 && of.ranks() > 1) {
    how.master_group = open(model + " masters", of);
  }
  return how;
}

engine::communicator_ptr rank_groups::open_generation(const io::place_section& place, const seat& policy) const {
  const int ranks_together = tensor_parallel_of(place, policy.ranks());
  if (ranks_together == 1) {
    return nullptr;
  }
  std::vector<int> neighbours;
  if (policy.here()) {
    const auto first = policy.members.begin() + policy.place / ranks_together * ranks_together;
    neighbours.assign(first, first + ranks_together);
  }
  return world_->open("generation", neighbours);
}

std::string told_by_one(engine::communicator& group, const std::string& mine) {
  std::string told;
  for (const std::vector<std::byte>& bytes :
       engine::gather_bytes(group, std::as_bytes(std::span(mine)), {.label = "digests"})) {
    for (const std::byte byte : bytes) {
      told.push_back(static_cast<char>(byte));
    }
  }
  return told;
}

}  // namespace troupe::actors
