#include "actors/cast/judge_loading.hpp"

#include "base/printable.hpp"

#include <spdlog/spdlog.h>

#include <memory>

namespace troupe::actors {

static std::shared_ptr<io::command_reward> program_of(const io::reward_source& source,
                                                      const std::function<void()>& waiting) {
  return std::make_shared<io::command_reward>(io::command_reward_settings{
      .source = source,
      .said = [name = source.name](const std::string& line) { spdlog::warn("rewards.{}: {}", name, printable(line)); },
      .waiting = waiting});
}

reward_judge load_judge(const io::reward_source& source, const judge_surroundings& in) {
  reward_judge judge{.source = source, .of = nullptr, .words = {}};
  switch (source.kind) {
  case io::reward_kind::model:
    judge.of = load_model(source.model.empty() ? in.own_model : std::filesystem::path(source.model),
                          head_kind::stored_scalar, in.loading);
    break;
  case io::reward_kind::lexicon:
    judge.words = io::lexicon::load(source.lexicon);
    break;
  case io::reward_kind::answer:
    break;
  case io::reward_kind::command:
    judge.program = program_of(source, in.waiting);
    break;
  }
  return judge;
}

}  // namespace troupe::actors
