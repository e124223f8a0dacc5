/// Rewards of a program of the user's (line_program.hpp), asked as reward_protocol.hpp has it.
#pragma once

#include "io/job/job.hpp"
#include "io/rewards/line_program.hpp"
#include "io/rewards/reward_protocol.hpp"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace troupe::io {

struct command_reward_settings {
  reward_source source;  ///< of kind command
  /// Told what the program writes on its standard error, and what goes wrong with it.
  std::function<void(const std::string& line)> said = [](const std::string&) {};
  /// Called ten times a second while a reply is waited for.
  std::function<void()> waiting = [] {};
};

/// The program is started when it is needed, and again when it has failed: when it has ended, is late, or says
/// something that is no reply. What it was asked is then asked once more; after a second failure item by item, so that
/// one answer that it cannot bear costs no other its reward. An answer that it fails at for the third time has no
/// reward, nor have those that follow three such answers in the same request.
class command_reward {
public:
  explicit command_reward(command_reward_settings settings);

  /// The rewards of these answers, in their order. NaN: this one cannot be scored.
  /// Errors  io_failure: the program cannot be started, has never scored an answer, or has failed at all answers of two
  ///         requests in a row.
  std::vector<float> score(std::span<const answer_item> items);

  /// Asks with no items at all, to see that the program can be asked.
  /// Errors  io_failure: it cannot.
  void try_out();

private:
  std::vector<float> score_request(std::span<const answer_item> items);
  std::vector<float> score_apart(std::span<const answer_item> items);
  /// Nothing where the program failed.
  std::optional<std::vector<float>> ask(std::span<const answer_item> items);
  std::string name() const { return "rewards." + settings_.source.name; }

  command_reward_settings settings_;
  std::unique_ptr<line_program> program_;
  uint64_t last_id_ = 0;
  bool has_scored_ = false;
  int failed_requests_in_a_row_ = 0;
  std::string last_failure_;
};

}  // namespace troupe::io
