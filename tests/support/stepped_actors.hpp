/// Actors under CAF's deterministic scheduler: no threads, no sleeps; messages are handled when the test says so.
#pragma once

#include "actors/protocol/task.hpp"
#include "actors/protocol/type_ids.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <optional>
#include <utility>

namespace troupe::test {

class stepped_actors {
public:
  stepped_actors() : system_(config_), self_(system_) {}

  caf::actor_system& system() { return system_; }

  /// Until no message is left.
  void run() { dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler()).run(); }

  /// What `of` answers. Throws what its handler threw, as troupe::error.
  template <class Reply, class Actor, class... Message> Reply ask(const Actor& of, Message... message) {
    auto pending = self_->request(of, caf::infinite, std::move(message)...);
    run();
    std::optional<Reply> answer;
    caf::error refused;
    pending.receive([&](Reply& reply) { answer = std::move(reply); }, [&](caf::error& reason) { refused = reason; });
    if (!answer) {
      throw actors::to_troupe_error(refused);
    }
    return std::move(*answer);
  }

  /// Ends an actor that nothing else ends: the system waits for all of them.
  template <class Actor> void end(const Actor& one) {
    caf::anon_send_exit(one, caf::exit_reason::kill);
    run();
  }

private:
  struct config : caf::actor_system_config {
    config() {
      add_message_types<caf::id_block::troupe>();
      set("scheduler.policy", caf::atom("testing"));
    }
  };
  config config_;
  caf::actor_system system_;
  caf::scoped_actor self_;
};

}  // namespace troupe::test
