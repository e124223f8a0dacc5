/// The checkpointer: copies what the next update depends on while training stands still, and writes the copy to HDF5
/// while training goes on. Each rank writes the rows of its shards into a file of its own; rank 0 commits when all files
/// are durable. A checkpoint exists when its manifest does, and is read by any number of ranks, whatever the ZeRO stages.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/models/model_files.hpp"
#include "actors/protocol/interfaces.hpp"
#include "base/aligned.hpp"
#include "engine/optim/average.hpp"
#include "io/checkpoint/checkpoint.hpp"
#include "io/run/run_directory.hpp"

#include <caf/all.hpp>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe::actors {

/// A trained model as checkpoints name it: <name>/weights/..., <name>/first_moment/..., <name>/second_moment/....
struct checkpointed_model {
  std::string name;
  trained_model_ptr trained;
};

/// A folder below models/ that the phase leaves behind: the model's own weights, or its average's.
struct saved_model {
  std::string name;
  model_ptr of;
  bool writes = true;                               ///< this rank; the model's others only take part
  std::shared_ptr<engine::weight_average> average;  ///< null: the model's own weights
  int64_t pad_token = 0;                            ///< for a scalar head
};

struct checkpointer_settings {
  io::run_directory run;
  engine::communicator_ptr group;  ///< of the ranks' checkpointers; null: one rank alone
  uint64_t attempt = 0;
  std::string phase, unit;
  int64_t keep = 3;
  std::map<std::string, std::string> digests;  ///< of job, models and data
  device_ptr on;
  std::vector<checkpointed_model> models;           ///< that are on this rank
  std::shared_ptr<engine::weight_average> average;  ///< of the first model; null: none
  std::vector<saved_model> saved;
};

/// An arena that a checkpoint holds, and this rank's shard of it as the last snapshot found it.
struct checkpointed_part {
  std::string name;  ///< "policy/first_moment"
  engine::shard_plan_ptr plan;
  int rank = 0;
  const float* values = nullptr;
  bool whole = false;  ///< `values` are an arena; else the shard
  aligned_buffer<float> copy;
};

class checkpointer_state {
public:
  static inline const char* name = "checkpointer";

  /// Allocates the copy, so that the first snapshot takes no longer than others.
  void open(checkpointer_settings settings);
  snapshot_reply snapshot(const phase_state& state);
  void write();
  written_file durable();
  durable_report commit(const commit_command& command);
  located_checkpoint locate(uint64_t before);
  damage_report verify(const located_checkpoint& candidate);
  phase_state restore(const located_checkpoint& from);
  std::vector<std::string> save_all() const;

private:
  void save(const saved_model& one) const;
  void copy_parts();
  void fill(const io::checkpoint_reader& reader);
  void require_same_inputs(const io::checkpoint_manifest& manifest) const;
  void write_snapshot();
  io::attempt_fence fence() const;
  int rank() const { return settings_->group ? settings_->group->rank() : 0; }
  int ranks() const { return settings_->group ? settings_->group->size() : 1; }

  std::optional<checkpointer_settings> settings_;
  // Of the last snapshot.
  std::vector<checkpointed_part> parts_;
  io::checkpoint_content scalars_;
  uint64_t counter_ = 0;
  written_file last_;
  std::optional<error> failure_;
};

checkpointer_actor::behavior_type checkpointer(checkpointer_actor::stateful_pointer<checkpointer_state> self,
                                               checkpointer_settings settings);

}  // namespace troupe::actors
