/// The checkpointer: while training stands still, it copies what the next update depends on; while training goes on, it
/// writes the copy to HDF5. Or it writes without a copy, and training stands still until that is done. Each rank writes
/// the rows of its shards into a file of its own; when all files are durable, rank 0 commits them. A checkpoint exists
/// as soon as its manifest does. Any number of ranks can read it, in any ZeRO stage.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/models/model_files.hpp"
#include "actors/models/special_tokens.hpp"
#include "actors/models/trained_model.hpp"
#include "actors/protocol/interfaces.hpp"
#include "base/aligned.hpp"
#include "engine/arena/card_arena.hpp"
#include "engine/optim/average.hpp"
#include "io/checkpoint/checkpoint.hpp"
#include "io/run/run_directory.hpp"

#include <caf/all.hpp>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe::actors {

/// A trained model and its name in checkpoints: <name>/weights/..., <name>/first_moment/..., <name>/second_moment/...
struct checkpointed_model {
  std::string name;
  trained_model_ptr trained;
};

/// A folder below models/ that the phase leaves behind: the model's own weights, or its average's.
struct saved_model {
  std::string name;
  model_ptr of;
  bool writes = true;                               ///< this rank does; the model's other ranks only take part
  std::shared_ptr<engine::weight_average> average;  ///< null: the model's own weights
  int64_t pad_token = 0;                            ///< for a scalar head
};

struct checkpointer_settings {
  io::run_directory run;
  engine::communicator_ptr group;  ///< of the ranks' checkpointers; null: one rank alone
  uint64_t attempt = 0;
  io::phase phase = io::phase::sft;
  std::string unit;  ///< what the phase counts
  int64_t keep = 3;
  bool copies = true;                          ///< false: what lies in host memory is written from where it lies
  std::map<std::string, std::string> digests;  ///< of job, models and data
  device_ptr on;
  std::vector<checkpointed_model> models;           ///< that are on this rank
  std::shared_ptr<engine::weight_average> average;  ///< of the first model; null: none
  std::vector<saved_model> saved;
  learned_turns turns;  ///< that saved models are to write
};

/// An arena that a checkpoint holds, and this rank's shard of it as the last snapshot or restore found it.
/// Where that is not copied, it is read where it lies.
struct checkpointed_part {
  std::string name;                    ///< "policy/first_moment"
  engine::learner* divides = nullptr;  ///< among ranks; it lies where the values do
  float* values = nullptr;
  engine::part_places places = engine::part_places::of_arena;
  bool shared = false;  ///< other ranks' parts are there too
  bool is_copied = true;
  aligned_buffer<float> copy = {};

  /// Where such rows of this rank's shard stand in host memory.
  float* at(const engine::parameter_rows& rows);
};

class checkpointer_state {
public:
  static inline const char* name = "checkpointer";

  /// Allocates the copies, so that the first snapshot takes no longer than others.
  void open(checkpointer_settings settings);

  // The handlers of checkpointer_actor (interfaces.hpp), in its order.
  snapshot_reply snapshot(const phase_state& state);
  bool writes_later() const { return settings_->copies; }  ///< else snapshot has written
  void write();
  written_file durable();
  durable_report commit(const commit_command& command);
  located_checkpoint locate(uint64_t before);
  damage_report verify(const located_checkpoint& candidate);
  phase_state restore(const located_checkpoint& from);
  std::vector<std::string> save_all() const;

private:
  /// Takes part in a model's saving, or writes it.
  void save(const saved_model& saved) const;
  void add_part(const std::string& name, const trained_model& of, float* values, bool is_shard, bool shared);
  context& at(const checkpointed_part& part) const { return settings_->on->at(part.divides->on()); }
  /// Copies this rank's shards of the arenas that are copied to host memory: training stands still meanwhile.
  void copy_parts();
  /// Fills this rank's arenas from a checkpoint. Collective.
  void fill(const io::checkpoint_reader& reader);
  /// Errors  bad_argument: the data or models of the phase are not those that the checkpoint was made with.
  void require_same_inputs(const io::checkpoint_manifest& manifest) const;
  /// Writes its shards to this rank's file.
  void write_snapshot();
  io::attempt_fence fence() const;
  std::string phase_name() const { return std::string(io::to_string(settings_->phase)); }
  /// The turns of all models that are on this rank.
  std::deque<turn> take_turns(const char* operation) const;
  int rank() const { return settings_->group ? settings_->group->rank() : 0; }
  int ranks() const { return settings_->group ? settings_->group->size() : 1; }

  std::optional<checkpointer_settings> settings_;
  engine::staging through_;
  // Of the last snapshot:
  std::vector<checkpointed_part> parts_;
  io::checkpoint_content scalars_;
  uint64_t counter_ = 0;
  written_file last_;             ///< until the director has asked for it
  std::optional<error> failure_;  ///< why it could not be written
};

/// Spawn it detached: its handlers block while they work.
checkpointer_actor::behavior_type checkpointer(checkpointer_actor::stateful_pointer<checkpointer_state> self,
                                               checkpointer_settings settings);

}  // namespace troupe::actors
