#include "actors/checkpointer.hpp"

#include "actors/guarded.hpp"
#include "actors/stopwatch.hpp"

#include <algorithm>

namespace troupe::actors {

namespace {

constexpr const char* state_prefix = "state/";

/// One arena's parameters as plain rows under <prefix>/<parameter>.
void add_arena(io::checkpoint_content& content, const std::string& prefix, const engine::parameter_layout& layout,
               const float* arena) {
  for (const engine::parameter& p : layout.all()) {
    io::checkpoint_array array;
    array.name = prefix + "/" + p.name;
    array.shape = p.shape;
    array.fill = [&p, arena, rows = std::vector<float>()](int64_t offset, std::span<float> out) mutable {
      if (offset == 0) {
        rows = engine::read_parameter(p, arena);
      }
      std::copy_n(rows.begin() + offset, out.size(), out.begin());
    };
    content.arrays.push_back(std::move(array));
  }
}

void read_arena(const io::checkpoint_reader& reader, const std::string& prefix, const engine::parameter_layout& layout,
                float* arena) {
  for (const engine::parameter& p : layout.all()) {
    const std::string name = prefix + "/" + p.name;
    if (reader.shape(name) != p.shape) {
      throw error(errc::shape_mismatch, "checkpoint array {} has another shape than the model", name);
    }
    engine::write_parameter(p, reader.read(name), arena);
  }
}

}  // namespace

io::checkpoint_content checkpointer_state::live(const phase_state& state) const {
  io::checkpoint_content content;
  for (const checkpointed_model& one : settings_->models) {
    const engine::parameter_layout& layout = one.trained->of->net.layout();
    engine::learner& learner = *one.trained->learner;
    add_arena(content, one.name + "/weights", layout, one.trained->of->weights.data());
    add_arena(content, one.name + "/first_moment", layout, learner.first_moment().data());
    add_arena(content, one.name + "/second_moment", layout, learner.second_moment().data());
    content.integers[one.name + "/updates"] = learner.updates();
  }
  if (settings_->average) {
    const checkpointed_model& of = settings_->models.front();
    add_arena(content, of.name + "/average", of.trained->of->net.layout(), settings_->average->shard().data());
  }
  for (const auto& [name, value] : state.values) {
    content.reals[state_prefix + name] = value;
  }
  return content;
}

snapshot_reply checkpointer_state::snapshot(const phase_state& state) {
  const operation_scope scope(settings_->on->pulse, "checkpoint copy");
  const stopwatch watch;
  state_ = state;
  snapshot_.take(live(state));
  snapshot_reply reply;
  for (const io::checkpoint_array& array : snapshot_.content().arrays) {
    reply.bytes += static_cast<int64_t>(array.values.size() * sizeof(float));
  }
  reply.seconds = watch.seconds();
  return reply;
}

void checkpointer_state::write_snapshot() {
  const stopwatch watch;
  const auto root = settings_->run.checkpoints();
  const auto folder =
      io::checkpoint_folder(root, settings_->phase, settings_->unit, static_cast<int64_t>(state_.counter));
  const io::commit_check still_allowed = [this] {
    settings_->run.require_attempt(static_cast<int64_t>(settings_->attempt));
  };
  const io::checkpoint_file file = io::write_checkpoint(folder, snapshot_.content(), 0, 1, still_allowed);
  io::commit_checkpoint(folder,
                        {.attempt = static_cast<int64_t>(settings_->attempt),
                         .phase = settings_->phase,
                         .unit = settings_->unit,
                         .counter = static_cast<int64_t>(state_.counter),
                         .ranks = 1,
                         .counters = {},
                         .digests = settings_->digests,
                         .files = {file}},
                        still_allowed);
  io::prune_checkpoints(root, settings_->phase, settings_->keep);
  last_ = {.path = std::filesystem::relative(folder, settings_->run.root()).string(),
           .counter = state_.counter,
           .bytes = file.bytes,
           .seconds = watch.seconds()};
}

void checkpointer_state::write() {
  try {
    write_snapshot();
  } catch (const error& failure) {
    failure_ = failure;  // told to whoever asks for durability next
  } catch (const std::exception& failure) {
    failure_ = error(errc::io_failure, "cannot write the checkpoint: {}", failure.what());
  }
}

durable_report checkpointer_state::durable() {
  if (failure_) {
    const error failure = *failure_;
    failure_.reset();
    throw failure;
  }
  return std::exchange(last_, {});
}

void checkpointer_state::fill(const io::checkpoint_reader& reader) {
  for (const checkpointed_model& one : settings_->models) {
    const engine::parameter_layout& layout = one.trained->of->net.layout();
    engine::learner& learner = *one.trained->learner;
    learner.discard();
    read_arena(reader, one.name + "/weights", layout, one.trained->of->weights.data());
    read_arena(reader, one.name + "/first_moment", layout, learner.first_moment().data());
    read_arena(reader, one.name + "/second_moment", layout, learner.second_moment().data());
    learner.set_updates(reader.integer(one.name + "/updates"));
  }
  if (settings_->average) {
    const checkpointed_model& of = settings_->models.front();
    read_arena(reader, of.name + "/average", of.trained->of->net.layout(), settings_->average->shard().data());
  }
}

restore_reply checkpointer_state::restore() {
  const operation_scope scope(settings_->on->pulse, "restore");
  const auto root = settings_->run.checkpoints();
  const io::latest_checkpoint latest = io::find_latest_checkpoint(root, settings_->phase);
  restore_reply reply{.found = latest.found.has_value(),
                      .state = {.phase = settings_->phase, .counter = 0, .values = {}},
                      .problems = latest.problems};
  if (latest.found) {
    const io::checkpoint_reader reader(latest.found->folder, true);
    fill(reader);
    reply.state.counter = static_cast<uint64_t>(latest.found->manifest.counter);
    for (const std::string& name : reader.scalar_names()) {
      if (name.starts_with(state_prefix)) {
        reply.state.values[name.substr(std::string_view(state_prefix).size())] = reader.real(name);
      }
    }
  }
  io::remove_checkpoints_after(root, settings_->phase, latest.found ? latest.found->manifest.counter : int64_t{-1});
  return reply;
}

std::vector<std::string> checkpointer_state::save() {
  const operation_scope scope(settings_->on->pulse, "save models");
  std::vector<std::string> paths;
  for (const saved_model& one : settings_->saved) {
    settings_->run.require_attempt(static_cast<int64_t>(settings_->attempt));
    const auto target = settings_->run.model(one.name);
    std::filesystem::create_directories(target.parent_path());
    save_model(*one.of, one.average ? one.average->shard().data() : one.of->weights.data(), target, one.pad_token);
    settings_->on->pulse.touch();
    paths.push_back(std::filesystem::relative(target, settings_->run.root()).string());
  }
  return paths;
}

checkpointer_actor::behavior_type checkpointer(checkpointer_actor::stateful_pointer<checkpointer_state> self,
                                               checkpointer_settings settings) {
  self->state.open(std::move(settings));
  return {
      guarded([self](snapshot_atom, const phase_state& state) {
        snapshot_reply reply = self->state.snapshot(state);
        self->send(self, run_atom_v);
        return reply;
      }),
      [self](run_atom) { self->state.write(); },
      guarded([self](durable_atom) { return self->state.durable(); }),
      guarded([self](restore_atom) { return self->state.restore(); }),
      guarded([self](save_atom) { return self->state.save(); }),
  };
}

}  // namespace troupe::actors
