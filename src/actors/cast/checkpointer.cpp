#include "actors/cast/checkpointer.hpp"

#include "actors/cast/input_change.hpp"
#include "actors/cast/stored_state.hpp"
#include "actors/protocol/error_replies.hpp"
#include "base/stopwatch.hpp"
#include "engine/optim/host_weights.hpp"
#include "io/files/paths.hpp"

#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

namespace troupe::actors {

namespace {

/// Of the thread that writes, as "nice" counts: a tenth of a core where training uses all of them, and what it leaves
/// idle.
constexpr int writing_priority = 10;

/// What a manifest says of the best checkpoint, for `troupe status` and `troupe inspect`.
key_map counters_of(const best_so_far& best) {
  if (best.counter < 0) {
    return {};
  }
  return {{"best", best.counter}, {"best_metric", best.metric}, {"best_value", best.value}};
}

/// This rank's shard as plain values under <name>/<parameter>; panels are taken apart when the file is written. Each
/// piece that is written is a sign of life.
void add_rows(io::checkpoint_content& content, checkpointed_part& shard, pulse& written) {
  const auto plain = std::make_shared<std::vector<float>>();  // of one array at a time: they are written in order
  for (const engine::parameter_rows& part : shard.divides->plan()->rows(shard.divides->rank())) {
    io::checkpoint_array array;
    array.name = shard.name + "/" + part.of->name;
    array.shape = part.of->shape;
    array.begin = part.begin();
    array.end = part.end();
    array.fill = [part, at = shard.at(part), plain, &written](int64_t offset, std::span<float> out) {
      written.touch();
      if (offset == part.begin()) {
        plain->clear();
        plain->shrink_to_fit();  // before the next is there
        *plain = engine::read_rows(*part.of, part.last_row - part.first_row, at);
      }
      std::copy_n(plain->begin() + (offset - part.begin()), out.size(), out.begin());
    };
    content.arrays.push_back(std::move(array));
  }
}

void read_rows(const io::checkpoint_reader& reader, checkpointed_part& shard) {
  std::vector<float> plain;
  for (const engine::parameter_rows& part : shard.divides->plan()->rows(shard.divides->rank())) {
    const std::string name = shard.name + "/" + part.of->name;
    if (reader.shape(name) != part.of->shape) {
      throw error(errc::shape_mismatch, "checkpoint array {} has another shape than the model", name);
    }
    plain.resize(static_cast<size_t>(part.end() - part.begin()));
    reader.read(name, part.begin(), plain);
    engine::write_rows(*part.of, part.last_row - part.first_row, plain, shard.at(part));
  }
}

}  // namespace

float* checkpointed_part::at(const engine::parameter_rows& rows) {
  if (is_copied) {
    return copy.data() + rows.shard_offset;
  }
  return values + (places == engine::part_places::of_shard ? rows.shard_offset : rows.arena_offset);
}

void checkpointer_state::add_part(const std::string& name, const trained_model& of, float* values, bool is_shard,
                                  bool shared) {
  engine::learner& learner = *of.learner;
  const bool is_copied = settings_->copies || learner.on() != nullptr;
  parts_.push_back({.name = name,
                    .divides = &learner,
                    .values = values,
                    .places = is_shard ? engine::part_places::of_shard : engine::part_places::of_arena,
                    .shared = shared,
                    .is_copied = is_copied,
                    .copy = aligned_buffer<float>(is_copied ? learner.plan()->shard_size(learner.rank()) : 0)});
}

void checkpointer_state::open(checkpointer_settings settings) {
  settings_.emplace(std::move(settings));
  for (const checkpointed_model& model : settings_->models) {
    const trained_model& of = *model.trained;
    engine::rank_weights& weights = of.of->learned();
    const bool whole = of.learner->whole_moments();
    add_part(model.name + "/weights", of, weights.data(), false, !weights.sharded());
    add_part(model.name + "/first_moment", of, of.learner->first_moment().data(), !whole, whole);
    add_part(model.name + "/second_moment", of, of.learner->second_moment().data(), !whole, whole);
  }
  if (settings_->average) {
    const checkpointed_model& of = settings_->models.front();
    add_part(of.name + "/average", *of.trained, settings_->average->weights().data(), false, false);
  }
}

void checkpointer_state::copy_parts() {
  for (checkpointed_part& part : parts_) {
    if (!part.is_copied) {
      continue;
    }
    engine::fetch_parts(at(part), *part.divides->plan(), part.divides->rank(), part.values, part.places,
                        part.copy.data(), through_);
    settings_->on->pulse_of(role::checkpointer).touch();
  }
}

std::deque<turn> checkpointer_state::take_turns(const char* operation) const {
  std::deque<turn> turns;
  for (const checkpointed_model& model : settings_->models) {
    turns.emplace_back(model.trained->turns, operation);
  }
  return turns;
}

snapshot_reply checkpointer_state::snapshot(const phase_state& state) {
  constexpr const char* operation = "checkpoint copy";
  const std::deque<turn> mine = take_turns(operation);
  const stopwatch watch;
  {
    const operation_scope scope(settings_->on->pulse_of(role::checkpointer), operation);
    copy_parts();
  }
  counter_ = state.counter;
  scalars_ = {};
  for (const checkpointed_model& model : settings_->models) {
    scalars_.integers[model.name + "/updates"] = model.trained->learner->updates();
  }
  add_state(state.values, scalars_);
  if (!writes_later()) {
    write();
  }
  return {.seconds = watch.seconds()};
}

io::attempt_fence checkpointer_state::fence() const {
  return settings_->run.fence(static_cast<int64_t>(settings_->attempt));
}

void checkpointer_state::write_snapshot() {
  const stopwatch watch;
  const auto folder = io::checkpoint_folder(settings_->run.checkpoints(), phase_name(), settings_->unit,
                                            static_cast<int64_t>(counter_));
  io::checkpoint_content content = scalars_;
  for (checkpointed_part& part : parts_) {
    add_rows(content, part, settings_->on->pulse_of(role::checkpointer));
  }
  io::checkpoint_file file = io::write_checkpoint(folder, content, rank(), ranks(), fence());
  last_ = {
      .name = std::move(file.name), .bytes = file.bytes, .digest = std::move(file.digest), .seconds = watch.seconds()};
}

/// On a thread of its own, which yields the cores to training: only a privileged process could raise its priority
/// again.
void checkpointer_state::write() {
  std::exception_ptr failure;
  try {
    std::thread([this, &failure] {
      const operation_scope scope(settings_->on->pulse_of(role::checkpointer), "write checkpoint");
      ::pthread_setname_np(::pthread_self(), "checkpoint");
      ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), writing_priority);
      try {
        write_snapshot();
      } catch (...) {
        failure = std::current_exception();
      }
    }).join();
  } catch (...) {  // no thread is to be had
    failure = std::current_exception();
  }
  if (failure) {  // told to whoever asks for durability next
    const error why = to_troupe_error(failure);
    failure_ = error(why.code(), "cannot write the checkpoint: {}", why.what());
  }
}

written_file checkpointer_state::durable() {
  if (failure_) {
    const error failure = *failure_;
    failure_.reset();
    throw failure;
  }
  return std::exchange(last_, {});
}

durable_report checkpointer_state::commit(const commit_command& command) {
  if (command.files.empty()) {
    return {};
  }
  const operation_scope scope(settings_->on->pulse_of(role::checkpointer), "checkpoint commit");
  const stopwatch watch;
  const auto root = settings_->run.checkpoints();
  const auto folder = io::checkpoint_folder(root, phase_name(), settings_->unit, static_cast<int64_t>(command.counter));
  durable_report report{.path = std::filesystem::relative(folder, settings_->run.root()).string(),
                        .counter = command.counter};
  io::checkpoint_manifest manifest{.attempt = static_cast<int64_t>(settings_->attempt),
                                   .phase = phase_name(),
                                   .unit = settings_->unit,
                                   .counter = static_cast<int64_t>(command.counter),
                                   .ranks = static_cast<int>(command.files.size()),
                                   .counters = counters_of(command.best),
                                   .digests = settings_->digests,
                                   .files = {}};
  for (const written_file& file : command.files) {
    manifest.files.push_back({.name = file.name, .bytes = file.bytes, .digest = file.digest});
    report.bytes += file.bytes;
    report.seconds = std::max(report.seconds, file.seconds);
  }
  io::commit_checkpoint(folder, std::move(manifest), fence());
  std::optional<std::filesystem::path> best;
  if (command.best.counter >= 0) {
    best = io::checkpoint_folder(root, phase_name(), settings_->unit, command.best.counter);
  }
  try {
    io::prune_checkpoints(root, phase_name(), settings_->keep, fence(), best);
  } catch (const std::exception& failure) {  // the new one is durable: an old one that stays does no harm
    spdlog::warn("{}", failure.what());
  }
  report.seconds += watch.seconds();
  return report;
}

/// Of a whole arena each rank reads its own parts too, and has the others' from them: ranks that read everything would
/// each open all files.
void checkpointer_state::fill(const io::checkpoint_reader& reader) {
  for (const checkpointed_model& model : settings_->models) {
    model.trained->learner->discard();
  }
  for (checkpointed_part& part : parts_) {
    const engine::shard_plan& plan = *part.divides->plan();
    const int own = part.divides->rank();
    read_rows(reader, part);
    if (part.is_copied) {
      engine::send_parts(at(part), plan, own, part.copy.data(), part.values, part.places, through_);
    }
    if (part.shared) {
      part.divides->gather(part.values);
    }
    settings_->on->pulse_of(role::checkpointer).touch();
  }
  for (const checkpointed_model& model : settings_->models) {
    engine::learner& learner = *model.trained->learner;
    if (const reals rounded = model.trained->of->rounded(); rounded != nullptr) {
      learner.round(settings_->on->at(learner.on()), model.trained->of->learned().data(), rounded);
    }
    model.trained->of->weights_changed();
    const int writer = reader.writer(model.name + "/weights/" + model.trained->of->net.layout().all().front().name);
    learner.set_updates(reader.integer(model.name + "/updates", writer));
  }
}

located_checkpoint checkpointer_state::locate(uint64_t before) {
  const operation_scope scope(settings_->on->pulse_of(role::checkpointer), "locate checkpoint");
  const auto newest = io::newest_checkpoint(settings_->run.checkpoints(), phase_name(), static_cast<int64_t>(before));
  located_checkpoint located;
  if (newest) {
    located.found = true;
    located.path = std::filesystem::relative(newest->folder, settings_->run.root()).string();
    located.counter = static_cast<uint64_t>(newest->counter);
    located.problem = newest->problem;
    for (const io::checkpoint_file& file : newest->files) {
      located.files.push_back({.name = file.name, .bytes = file.bytes, .digest = file.digest});
    }
  }
  return located;
}

damage_report checkpointer_state::verify(const located_checkpoint& candidate) {
  const operation_scope scope(settings_->on->pulse_of(role::checkpointer), "verify checkpoint");
  std::vector<io::checkpoint_file> files;
  for (const written_file& file : candidate.files) {
    files.push_back({.name = file.name, .bytes = file.bytes, .digest = file.digest});
  }
  const auto damage = io::find_damage(settings_->run.root() / candidate.path, files, rank(), ranks());
  return damage ? damage_report{.file = damage->index, .problem = damage->problem} : damage_report{};
}

/// The job's options were compared when the run was opened (run.cpp); what the files behind them hold is known only
/// now.
void checkpointer_state::require_same_inputs(const io::checkpoint_manifest& manifest) const {
  if (const auto change = find_input_change(manifest.digests, settings_->digests)) {
    throw error(errc::bad_argument,
                "{}: {} since {} {} of phase {} (digest {} then, {} now): the run would go on from what it has "
                "learned of the former. Put the former {} back, or take another run.dir",
                settings_->run.root().string(), change->what, manifest.unit, manifest.counter, manifest.phase,
                change->then, change->now, change->former);
  }
}

phase_state checkpointer_state::restore(const located_checkpoint& from) {
  constexpr const char* operation = "restore";
  const operation_scope scope(settings_->on->pulse_of(role::checkpointer), operation);
  const std::deque<turn> mine = take_turns(operation);
  std::optional<io::checkpoint_reader> reader;
  if (from.found) {
    reader.emplace(settings_->run.root() / from.path, true);
    require_same_inputs(reader->manifest());  // before anything is removed
  }
  if (rank() == 0) {
    const int64_t last = from.found ? static_cast<int64_t>(from.counter) : -1;
    io::remove_checkpoints_after(settings_->run.checkpoints(), phase_name(), last, fence());
  }
  phase_state state{.phase = settings_->phase, .counter = 0, .values = {}};
  if (!reader) {
    return state;
  }
  fill(*reader);
  state.counter = static_cast<uint64_t>(reader->manifest().counter);
  state.values = stored_state(*reader);
  return state;
}

/// Takes part in a model's saving: its weights come by segments to all of its ranks, of which one writes them.
void checkpointer_state::save(const saved_model& saved) const {
  engine::rank_weights& weights = saved.average ? saved.average->weights() : saved.of->learned();
  const auto segments = static_cast<int64_t>(saved.of->net.segments().size());
  if (!saved.writes) {
    engine::gathered_weights gathered(weights);
    engine::segment_walk walk(settings_->on->at(weights.on()), gathered.view().access, 0, segments - 1);
    for (int64_t s = 0; s < segments; ++s) {
      walk.enter_next();
      settings_->on->pulse_of(role::checkpointer).touch();
    }
    return;
  }
  context& ctx = settings_->on->host;
  engine::host_weights here(ctx, weights, saved.of->net);
  const engine::weights_view view = here.view();
  engine::segment_walk walk(ctx, view.access, 0, segments - 1);
  const auto enter = [&] {
    walk.enter_next();
    settings_->on->pulse_of(role::checkpointer).touch();
  };
  const io::attempt_fence behind = fence();
  const auto target = settings_->run.model(saved.name);
  io::make_folder(target.parent_path());
  save_model(*saved.of, view.data, target,
             {.pad_token = saved.pad_token,
              .enter = enter,
              .fence = &behind,
              .chat_template = settings_->turns.chat_template,
              .turn_ends = settings_->turns.ends});
}

std::vector<std::string> checkpointer_state::save_all() const {
  constexpr const char* operation = "save models";
  const operation_scope scope(settings_->on->pulse_of(role::checkpointer), operation);
  const std::deque<turn> mine = take_turns(operation);
  std::vector<std::string> paths;
  for (const saved_model& saved : settings_->saved) {
    save(saved);
    if (saved.writes) {
      paths.push_back(std::filesystem::relative(settings_->run.model(saved.name), settings_->run.root()).string());
    }
  }
  return paths;
}

checkpointer_actor::behavior_type checkpointer(checkpointer_actor::stateful_pointer<checkpointer_state> self,
                                               checkpointer_settings settings) {
  self->state.open(std::move(settings));
  return {
      replying_errors([self](snapshot_atom, const phase_state& state) {
        snapshot_reply reply = self->state.snapshot(state);
        if (self->state.writes_later()) {
          self->send(self, run_atom_v);
        }
        return reply;
      }),
      [self](run_atom) { self->state.write(); },
      replying_errors([self](durable_atom) { return self->state.durable(); }),
      replying_errors([self](commit_atom, const commit_command& command) { return self->state.commit(command); }),
      replying_errors([self](locate_atom, uint64_t before) { return self->state.locate(before); }),
      replying_errors(
          [self](verify_atom, const located_checkpoint& candidate) { return self->state.verify(candidate); }),
      replying_errors([self](restore_atom, const located_checkpoint& from) { return self->state.restore(from); }),
      replying_errors([self](save_atom) { return self->state.save_all(); }),
  };
}

}  // namespace troupe::actors
