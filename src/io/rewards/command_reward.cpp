#include "io/rewards/command_reward.hpp"

#include "base/error.hpp"
#include "io/job/command_words.hpp"

#include <algorithm>
#include <limits>
#include <thread>
#include <utility>

namespace troupe::io {

using namespace std::chrono_literals;

namespace {

constexpr auto pause_after_failure = 200ms;  ///< whatever keeps it from working may pass
constexpr int most_failures_apart = 3;
constexpr float no_reward = std::numeric_limits<float>::quiet_NaN();

}  // namespace

command_reward::command_reward(command_reward_settings settings) : settings_(std::move(settings)) {}

std::optional<std::vector<float>> command_reward::ask(std::span<const answer_item> items) {
  const uint64_t id = ++last_id_;
  const auto deadline = std::chrono::milliseconds(static_cast<int64_t>(settings_.source.deadline_s * 1e3));
  try {
    if (!program_) {
      program_ = std::make_unique<line_program>(line_program_settings{.words = command_words(settings_.source.command),
                                                                      .folder = settings_.source.folder,
                                                                      .said = settings_.said,
                                                                      .waiting = settings_.waiting});
    }
    return read_rewards(program_->ask(reward_request(id, items), deadline), id, items.size());
  } catch (const error& failure) {
    program_.reset();
    if (failure.code() == errc::io_failure) {
      throw;
    }
    last_failure_ = failure.what();
    settings_.said(fmt::format("request {} of {} answers failed: {}", id, items.size(), last_failure_));
    std::this_thread::sleep_for(pause_after_failure);
    return std::nullopt;
  }
}

std::vector<float> command_reward::score_apart(std::span<const answer_item> items) {
  std::vector<float> rewards(items.size(), no_reward);
  int in_a_row = 0;
  bool scored = false;
  for (size_t i = 0; i < items.size() && in_a_row < most_failures_apart; ++i) {
    const auto one = ask(items.subspan(i, 1));
    in_a_row = one ? 0 : in_a_row + 1;
    scored = scored || one;
    rewards[i] = one ? one->front() : no_reward;
  }
  failed_requests_in_a_row_ = scored ? 0 : failed_requests_in_a_row_ + 1;
  return rewards;
}

std::vector<float> command_reward::score_request(std::span<const answer_item> items) {
  constexpr int whole_tries = 2;
  for (int i = 0; i < whole_tries; ++i) {
    if (auto rewards = ask(items)) {
      failed_requests_in_a_row_ = 0;
      has_scored_ = true;
      return std::move(*rewards);
    }
  }
  std::vector<float> rewards = score_apart(items);
  has_scored_ = has_scored_ || failed_requests_in_a_row_ == 0;
  if (!has_scored_ || failed_requests_in_a_row_ > 1) {
    throw error(errc::io_failure, "{}: the program {} does not score any more: {}", name(), settings_.source.command,
                last_failure_);
  }
  return rewards;
}

std::vector<float> command_reward::score(std::span<const answer_item> items) {
  std::vector<float> rewards;
  const auto most = static_cast<size_t>(settings_.source.batch);
  for (size_t first = 0; first < items.size(); first += most) {
    const std::vector<float> some = score_request(items.subspan(first, std::min(most, items.size() - first)));
    rewards.insert(rewards.end(), some.begin(), some.end());
  }
  return rewards;
}

void command_reward::try_out() {
  if (!ask({})) {
    throw error(
        errc::io_failure,
        "{}.command = {}: in a trial without answers, whose reply is {{\"id\":1,\"items\":[]}}, {}\n(It ran in {}; "
        "docs/rewards.md tells what it is asked.)",
        name(), settings_.source.command, last_failure_, settings_.source.folder);
  }
}

}  // namespace troupe::io
