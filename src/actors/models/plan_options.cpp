#include "actors/models/plan_options.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <numeric>

namespace troupe::actors {

dtype weight_type_of(const io::model_section& model) {
  return model.type == io::weight_type::bf16 ? dtype::bf16 : dtype::f32;
}

dtype computed_type_of(const io::job& job) {
  return job.place.device == io::device_choice::cuda ? weight_type_of(job.model) : dtype::f32;
}

int tensor_parallel_of(const io::place_section& place, int ranks) {
  return static_cast<int>(std::gcd(place.tensor_parallel, static_cast<int64_t>(ranks)));
}

static engine::schedule_kind schedule_kind_of(io::schedule kind) {
  switch (kind) {
  case io::schedule::linear:
    return engine::schedule_kind::linear;
  case io::schedule::cosine:
    return engine::schedule_kind::cosine;
  case io::schedule::constant:
    return engine::schedule_kind::constant;
  }
  throw error(errc::bad_argument, "there is no schedule {}", static_cast<int>(kind));
}

engine::schedule_settings schedule_of(const io::optimizer_options& options, int64_t total_updates) {
  return {.kind = schedule_kind_of(options.schedule),
          .peak = options.learning_rate,
          .warmup_updates = std::min(options.warm_up, total_updates),
          .total_updates = total_updates,
          .min_ratio = options.min_ratio};
}

static bool is_adaptive(io::kl_controller kind) {
  switch (kind) {
  case io::kl_controller::fixed:
    return false;
  case io::kl_controller::adaptive:
    return true;
  }
  throw error(errc::bad_argument, "there is no KL controller {}", static_cast<int>(kind));
}

engine::kl_controller_settings kl_controller_of(const io::ppo_section& ppo) {
  return {.initial = ppo.kl_coef,
          .adaptive = is_adaptive(ppo.kl_controller),
          .target_nats = ppo.kl_target,
          .horizon = ppo.kl_horizon};
}

static std::chrono::milliseconds milliseconds_of(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1e3));
}

std::chrono::milliseconds silence_of(const io::recovery_section& recovery) {
  return milliseconds_of(recovery.silence_deadline_s);
}

std::chrono::milliseconds patience_with_card(const io::recovery_section& recovery) {
  return milliseconds_of(recovery.worker_deadline_s) / 2;
}

std::chrono::milliseconds patience_with_joining(const io::recovery_section& recovery) {
  return milliseconds_of(recovery.worker_deadline_s) / 4;
}

std::chrono::milliseconds patience_with_peers(const io::recovery_section& recovery) {
  constexpr std::chrono::seconds for_its_look{5};
  return milliseconds_of(recovery.worker_deadline_s) * 5 / 2 + for_its_look;
}

}  // namespace troupe::actors
