#include "jobs/plan_text.hpp"

#include "base/durations.hpp"
#include "io/job/job.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <utility>

namespace troupe {

namespace {

std::string when_text(held_in when) {
  const std::string moment = moment_text(when);
  return moment.empty() ? "" : "  " + moment;
}

/// Empty where nothing is held.
std::string held_text(int64_t bytes) { return bytes > 0 ? bytes_text(bytes) : ""; }

/// The lines of a rank's memory, and of its sum under this name.
std::string host_lines(const rank_plan& rank, const std::string& name) {
  std::string text;
  for (const planned_memory& item : rank.memory) {
    text += fmt::format("    {:<30}{:>12}{}\n", item.name, bytes_text(item.bytes), when_text(item.when));
  }
  return text + fmt::format("  {:<32}{:>12}\n", name, bytes_text(rank.bytes()));
}

std::string card_and_host_lines(const rank_plan& rank, const std::string& name) {
  std::string text = fmt::format("    {:<38}{:>12}{:>12}\n", "", "card", "host");
  for (const planned_memory& item : rank.memory) {
    const std::string line = fmt::format("    {:<38}{:>12}{:>12}{}", item.name, held_text(item.card_bytes),
                                         held_text(item.bytes), when_text(item.when));
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text + fmt::format("  {:<40}{:>12}{:>12}\n", name, bytes_text(rank.bytes(memory_kind::card)),
                            bytes_text(rank.bytes()));
}

}  // namespace

std::string moment_text(held_in when) {
  switch (when) {
  case held_in::rollout:
    return " while it generates";
  case held_in::policy_update:
  case held_in::critic_update:
    return " in an update";
  case held_in::saving:
    return " at the end";
  case held_in::always:
    break;
  }
  return "";
}

std::string bytes_text(int64_t bytes) {
  const auto exact = static_cast<double>(bytes);
  return exact < 1e9 ? fmt::format("{:.1f} MB", exact / 1e6) : fmt::format("{:.2f} GB", exact / 1e9);
}

std::string plan_text(const phase_plan& plan, const pace& at, int64_t ranks) {
  std::string text = plan.phase + "\n";
  for (const planned_model& model : plan.models) {
    text += fmt::format("  {}: {} parameters\n", model.name, model.parameters);
  }
  for (const rank_plan& alike : plan.ranks) {
    const std::string of =
        plan.ranks.size() == 1 ? "memory of a rank" : "memory of each of ranks " + io::rank_text(alike.ranks);
    text += plan.on_cards ? card_and_host_lines(alike, of) : host_lines(alike, of);
  }
  if (plan.checkpoint_bytes > 0) {
    text += fmt::format("  {:<32}{:>12}, at most {} on disk: {}\n", "checkpoint", bytes_text(plan.checkpoint_bytes),
                        plan.checkpoints, bytes_text(plan.checkpoints * plan.checkpoint_bytes));
  }
  if (plan.experience_bytes > 0) {
    text += fmt::format("  {:<32}{:>12}\n", "experience on disk", bytes_text(plan.experience_bytes));
  }
  text += fmt::format("  {:<26}{:>12.4g} FLOP per {}", "work", plan.flops_each, plan.unit);
  if (plan.count > 0) {
    text += fmt::format(", {:.4g} in {} {}s", plan.flops_each * static_cast<double>(plan.count), plan.count, plan.unit);
  }
  if (!at.knows(plan.phase)) {
    return text + "\n\n";
  }
  const double each = seconds_each(plan, at, ranks);
  text += fmt::format("\n  {:<26}{:>12} each", "time", duration_text(each));
  if (plan.count > 0) {
    text += fmt::format(", {} in all", duration_text(each * static_cast<double>(plan.count)));
  }
  return text + "\n\n";
}

nlohmann::ordered_json plan_json(const phase_plan& plan, const pace& at, int64_t ranks) {
  nlohmann::ordered_json out = {{"phase", plan.phase}, {"unit", plan.unit}};
  for (const planned_model& model : plan.models) {
    out["parameters"][model.name] = model.parameters;
  }
  for (const planned_memory& item : plan.ranks.front().memory) {
    if (item.bytes > 0) {
      out["memory_bytes"][item.name] = item.bytes;
    }
    if (item.card_bytes > 0) {
      out["card_memory_bytes"][item.name] = item.card_bytes;
    }
  }
  for (const rank_plan& alike : plan.ranks) {
    nlohmann::ordered_json ranks = {{"ranks", alike.ranks}, {"bytes", alike.bytes()}};
    if (plan.on_cards) {
      ranks["card_bytes"] = alike.bytes(memory_kind::card);
    }
    out["ranks"].push_back(std::move(ranks));
  }
  out["peak_bytes"] = plan.peak_bytes();
  if (plan.on_cards) {
    out["card_peak_bytes"] = plan.card_peak_bytes();
  }
  out["checkpoint_bytes"] = plan.checkpoint_bytes;
  out["experience_bytes"] = plan.experience_bytes;
  out["flops_each"] = plan.flops_each;
  out["count"] = plan.count;
  if (at.knows(plan.phase)) {
    out["seconds_each"] = seconds_each(plan, at, ranks);
  }
  return out;
}

}  // namespace troupe
