// The supervisor by itself: its ranks are a process that says nothing, and what this test says in their name.
#include "actors/guarded.hpp"
#include "actors/supervisor.hpp"
#include "io/job.hpp"
#include "io/ledger.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <string>
#include <vector>

namespace troupe::actors {

using namespace std::chrono_literals;
using test::temporary_folder;

struct plain_config : caf::actor_system_config {
  plain_config() { add_message_types<caf::id_block::troupe>(); }
};

TEST(Supervisor, ARankOfAnotherVersionEndsTheAttemptWithTheReason) {
  const temporary_folder folder;
  const io::run_directory run = io::run_directory::open_or_create(folder / "run");
  const io::run_lock lock(run);
  io::job job;
  job.recovery.restarts = 0;
  plain_config config;
  caf::actor_system system(config);
  std::promise<run_result> ended;
  const supervisor_actor on_duty = system.spawn<caf::detached>(
      supervisor, supervisor_settings{.job = job,
                                      .run = run,
                                      .given = {},
                                      .command =
                                          [](uint64_t, const launch_plan&) {
                                            return std::vector<std::string>{"sleep", "60"};
                                          },
                                      .guard = [] { return std::vector<std::string>{}; },
                                      .metrics = {},
                                      .on_end = [&](run_result r) { ended.set_value(std::move(r)); }});
  caf::anon_send(on_duty, run_atom_v);
  const caf::actor stage = system.spawn([](caf::event_based_actor*) { return caf::behavior{[](int) {}}; });
  caf::scoped_actor self(system);
  hello words{.version = "0.0.9, messages 1",
              .attempt = 1,
              .rank = 0,
              .ranks = 1,
              .host = "node7",
              .pid = 1,
              .stage = caf::actor_cast<caf::strong_actor_ptr>(stage)};
  std::string refusal;
  self->request(on_duty, 30s, words)
      .receive([](note_atom) {}, [&](const caf::error& reason) { refusal = to_troupe_error(reason).what(); });
  EXPECT_NE(refusal.find("rank 0 on node7 runs troupe 0.0.9, messages 1, its supervisor"), std::string::npos)
      << refusal;

  auto result = ended.get_future();
  ASSERT_EQ(result.wait_for(30s), std::future_status::ready);
  const run_result told = result.get();
  EXPECT_EQ(told.outcome, outcome::failed);
  EXPECT_NE(told.text.find("on all nodes"), std::string::npos) << told.text;
  bool noted = false;
  for (const io::ledger_event& event : io::read_ledger(run.ledger())) {
    noted = noted || event.kind == io::ledger_kind::worker_failed;
  }
  EXPECT_TRUE(noted);
  caf::anon_send_exit(stage, caf::exit_reason::user_shutdown);
}

}  // namespace troupe::actors
