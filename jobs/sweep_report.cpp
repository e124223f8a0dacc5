#include "jobs/sweep_report.hpp"

#include "base/durations.hpp"
#include "io/json/jsonl_filter.hpp"
#include "io/run/metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace troupe {

namespace {

struct column {
  const char* metric;
  const char* heading;
};

/// By which variants are told apart: what the policy's own answers would score (by importance, and what that is worth),
/// how far it has gone from the policy that sampled, and how updates went. Not the KL to the reference: over another
/// policy's answers its estimate says nothing.
constexpr column columns[] = {{"replay/score_estimate", "score est."},     {"replay/sequence_ess_share", "its ESS"},
                              {"replay/behaviour_kl_k3_nats", "KL/token"}, {"replay/ess_share", "token ESS"},
                              {"policy/entropy_nats", "entropy"},          {"policy/clip_fraction", "clipped"},
                              {"policy/grad_norm", "grad norm"},           {"critic/explained_variance", "expl. var."}};

constexpr const char* phase_name = "replay";

std::optional<double> last_of(const variant_outcome& of, const std::string& metric) {
  const auto found = of.metrics.find(metric);
  return found == of.metrics.end() || found->second.empty() ? std::nullopt : std::optional(found->second.back().y);
}

void add_records(const std::filesystem::path& file, variant_outcome& out) {
  for (const io::metrics_record& record : io::read_metrics(file)) {
    if (record.phase != phase_name) {
      continue;
    }
    ++out.iterations;
    for (const auto& [name, value] : record.values) {
      out.metrics[name].push_back({static_cast<double>(record.iteration), value});
      if (name == "time/learn_s" || name == "time/recall_s" || name == "time/mix_s" ||
          name == "time/policy_scoring_s") {
        out.seconds += value;
      }
    }
  }
}

}  // namespace

std::vector<variant_outcome> outcomes_of(const std::vector<planned_variant>& variants) {
  std::vector<variant_outcome> outcomes;
  for (const planned_variant& planned : variants) {
    const std::filesystem::path root = planned.job.run.dir;
    variant_outcome out{.name = planned.variant.name, .state = io::to_string(io::run_state::not_started)};
    if (const auto status = status_of(planned)) {
      out.state = io::to_string(status->state);
      out.reason = status->reason;
    }
    if (std::filesystem::exists(root / "metrics.jsonl")) {
      add_records(root / "metrics.jsonl", out);
    }
    outcomes.push_back(std::move(out));
  }
  return outcomes;
}

std::string sweep_text(const std::vector<variant_outcome>& outcomes) {
  size_t widest = 7;
  for (const variant_outcome& one : outcomes) {
    widest = std::max(widest, one.name.size());
  }
  std::string text = fmt::format("{:<{}}  {:>5}  {:>9}", "variant", widest, "iter.", "time");
  for (const column& shown : columns) {
    text += fmt::format("  {:>10}", shown.heading);
  }
  text += "  state\n";
  for (const variant_outcome& one : outcomes) {
    text += fmt::format("{:<{}}  {:>5}  {:>9}", one.name, widest, one.iterations, duration_text(one.seconds));
    for (const column& shown : columns) {
      const auto value = last_of(one, shown.metric);
      text += value ? fmt::format("  {:>10.3g}", *value) : fmt::format("  {:>10}", "-");
    }
    text += "  " + one.state + "\n";
  }
  for (const variant_outcome& one : outcomes) {
    text += one.reason.empty() ? "" : fmt::format("\n{}: {}\n", one.name, one.reason);
  }
  return text;
}

std::string sweep_json(const std::vector<variant_outcome>& outcomes) {
  io::json_line variants = io::json_line::array();
  for (const variant_outcome& one : outcomes) {
    io::json_line object = {{"name", one.name},
                            {"state", one.state},
                            {"reason", one.reason},
                            {"iterations", one.iterations},
                            {"seconds", one.seconds}};
    for (const column& shown : columns) {
      if (const auto value = last_of(one, shown.metric)) {
        object[shown.metric] = *value;
      }
    }
    variants.push_back(std::move(object));
  }
  return io::json_line_text({{"variants", std::move(variants)}}) + "\n";
}

std::string sweep_picture(const std::vector<variant_outcome>& outcomes) {
  std::vector<curve_panel> panels;
  for (const column& shown : columns) {
    curve_panel panel{.title = shown.metric, .curves = {}};
    for (const variant_outcome& one : outcomes) {
      const auto found = one.metrics.find(shown.metric);
      panel.curves.push_back({one.name, found != one.metrics.end() ? found->second : std::vector<curve_point>()});
    }
    panels.push_back(std::move(panel));
  }
  return curves_svg(panels, "iteration");
}

}  // namespace troupe
