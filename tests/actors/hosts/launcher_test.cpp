#include "actors/hosts/launcher.hpp"
#include "support/refusal.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <limits>
#include <random>

namespace troupe::actors {

using test::refusal;
using strings = std::vector<std::string>;
using counts = std::vector<int64_t>;

static bool has(const strings& words, const std::string& wanted) {
  return std::find(words.begin(), words.end(), wanted) != words.end();
}

// ---- the plan

static allocation nodes(counts cpus) {
  allocation given;
  given.job_id = "42";
  for (size_t i = 0; i < cpus.size(); ++i) {
    given.hosts.push_back("node" + std::to_string(i + 1));
  }
  given.cpus = std::move(cpus);
  given.batch_host = "node1";
  return given;
}

static std::vector<host_share> on(std::initializer_list<host_share> shares) { return shares; }

TEST(Plan, OutsideOfSlurmIsAChildOrMpirun) {
  const launch_plan one = choose(std::nullopt, {.ranks = 1}, {}, 8);
  EXPECT_EQ(one.kind, launcher_kind::child);
  EXPECT_EQ(one.threads_per_rank, 0) << "all cores";
  const launch_plan four = choose(std::nullopt, {.ranks = 4}, {}, 8);
  EXPECT_EQ(four.kind, launcher_kind::mpirun);
  EXPECT_EQ(four.threads_per_rank, 2);
  EXPECT_FALSE(four.crowded);
  const launch_plan crowd = choose(std::nullopt, {.ranks = 4}, {}, 2);
  EXPECT_EQ(crowd.threads_per_rank, 1);
  EXPECT_TRUE(crowd.crowded);
}

TEST(Plan, SpreadsRanksEvenlyAndLeavesSparesAtTheEnd) {
  EXPECT_EQ(choose(nodes({2, 2, 2, 2}), {.ranks = 3}, {}).hosts, on({{"node1", 1}, {"node2", 1}, {"node3", 1}}));
  EXPECT_EQ(choose(nodes({2, 2, 2}), {.ranks = 6}, {}).hosts, on({{"node1", 2}, {"node2", 2}, {"node3", 2}}));
  EXPECT_EQ(choose(nodes({2, 2, 2}), {.ranks = 4}, {}).hosts, on({{"node1", 2}, {"node2", 1}, {"node3", 1}}));
  const launch_plan plan = choose(nodes({2, 2, 2}), {.ranks = 3}, {});
  EXPECT_EQ(plan.kind, launcher_kind::srun);
  EXPECT_EQ(plan.threads_per_rank, 2);
  EXPECT_EQ(plan.reason, "");
}

TEST(Plan, LargerHostsGetMoreRanks) {
  EXPECT_EQ(choose(nodes({1, 4, 1}), {.ranks = 6}, {}).hosts, on({{"node1", 1}, {"node2", 4}, {"node3", 1}}));
}

TEST(Plan, PacksTheSameRanksOnTheHostsThatAreLeft) {
  const launch_plan plan = choose(nodes({2, 2, 2}), {.ranks = 3}, {"node2"});
  EXPECT_EQ(plan.ranks, 3);
  EXPECT_EQ(plan.hosts, on({{"node1", 2}, {"node3", 1}}));
  EXPECT_EQ(plan.threads_per_rank, 1);
  EXPECT_FALSE(plan.crowded);
  EXPECT_EQ(plan.reason, "2 of 3 nodes are left for 3 ranks");
  EXPECT_TRUE(choose(nodes({2, 2, 2}), {.ranks = 3}, {"node2", "node3"}).crowded);
}

TEST(Plan, ASpareTakesTheLostHostsPlace) {
  EXPECT_EQ(choose(nodes({2, 2, 2, 2}), {.ranks = 3}, {"node2"}).hosts, on({{"node1", 1}, {"node3", 1}, {"node4", 1}}));
}

TEST(Plan, ShrinksToWhatTheHostsHeldBeforeAndTheLanesAllow) {
  EXPECT_EQ(choose(nodes({2, 2, 2}), {.ranks = 6, .shrink = true}, {"node3"}).ranks, 4);
  const placement lanes{.ranks = 4, .shrink = true, .lanes = 4};
  EXPECT_EQ(choose(nodes({2, 2, 2, 2}), lanes, {"node3"}).ranks, 2) << "3 hosts are left, but 3 does not divide 4";
  EXPECT_EQ(choose(nodes({2, 2, 2, 2}), lanes, {}).ranks, 4);
  EXPECT_EQ(choose(nodes({2, 2, 2, 2}), {.ranks = 3, .shrink = true}, {"node3"}).ranks, 3) << "there was a spare";
}

TEST(Plan, GoesBackToTheQueueWhenTooLittleIsLeft) {
  const launch_plan few = choose(nodes({2, 2, 2}), {.ranks = 3, .min_nodes = 2}, {"node1", "node2"});
  EXPECT_TRUE(few.requeue);
  EXPECT_EQ(few.ranks, 0);
  EXPECT_EQ(few.reason, "1 of 3 nodes are left, place.min-nodes = 2");
  EXPECT_TRUE(choose(nodes({2, 2}), {.ranks = 2}, {"node1", "node2"}).requeue) << "none is left at all";
}

TEST(Plan, FewerNodesThanTheLeastFromTheStartEndTheRun) {
  try {
    choose(nodes({2, 2}), {.ranks = 3, .min_nodes = 3}, {});
    FAIL() << "a requeue would give no more of them, for ever";
  } catch (const error& refusal) {
    EXPECT_EQ(refusal.code(), errc::bad_argument);
    EXPECT_NE(std::string(refusal.what()).find("Slurm gave 2 nodes, place.min-nodes = 3"), std::string::npos)
        << refusal.what();
  }
}

TEST(Plan, OneRankOnTheBatchHostNeedsNoSrun) {
  EXPECT_EQ(choose(nodes({2, 2}), {.ranks = 1}, {}).kind, launcher_kind::child);
  const launch_plan elsewhere = choose(nodes({2, 2}), {.ranks = 1}, {"node1"});
  EXPECT_EQ(elsewhere.kind, launcher_kind::srun);
  EXPECT_EQ(elsewhere.hosts, on({{"node2", 1}}));
}

TEST(Plan, ThreadsFollowTheUsersWord) {
  allocation given = nodes({8, 8});
  EXPECT_EQ(choose(given, {.ranks = 2}, {}).threads_per_rank, 8);
  EXPECT_EQ(choose(given, {.ranks = 2, .threads_per_rank = 3}, {}).threads_per_rank, 3);
  given.cpus_per_task = 4;
  EXPECT_EQ(choose(given, {.ranks = 2}, {}).threads_per_rank, 4);
  EXPECT_EQ(choose(given, {.ranks = 4}, {"node1"}).threads_per_rank, 2) << "packed: fewer than asked for";
}

TEST(Plan, DoubtfulHostsAreLeftOutWhileEnoughOthersRemain) {
  using hosts = std::set<std::string>;
  const allocation given = nodes({2, 2, 2});
  EXPECT_EQ(leave_out(given, {.ranks = 3}, {}, {"node2"}), hosts({"node2"}));
  EXPECT_EQ(leave_out(given, {.ranks = 3}, {"node1"}, {"node2"}), hosts({"node1", "node2"}));
  EXPECT_EQ(leave_out(given, {.ranks = 3}, {"node1", "node3"}, {"node2"}), hosts({"node1", "node3"}))
      << "it is better than none";
  EXPECT_EQ(leave_out(given, {.ranks = 3, .min_nodes = 2}, {}, {"node2", "node3"}), hosts({"node2"}));
  EXPECT_EQ(leave_out(given, {.ranks = 3, .min_nodes = 2}, {"node3"}, {"node2"}), hosts({"node3"}));
  EXPECT_EQ(leave_out(given, {.ranks = 3, .min_nodes = 2}, {"node2"}, {"node2"}), hosts({"node2"}))
      << "it is out already";
}

/// So many nodes of four cores and two cards.
static allocation card_nodes(size_t count) {
  allocation given = nodes(counts(count, 4));
  given.cards_per_host = 2;
  return given;
}

TEST(Plan, OnCardsAHostHasNoMoreRanksThanCards) {
  allocation given = card_nodes(3);
  given.cpus = {64, 4, 4};
  EXPECT_EQ(choose(given, {.ranks = 5, .on_cards = true}, {}).hosts, on({{"node1", 2}, {"node2", 2}, {"node3", 1}}));
  EXPECT_EQ(choose(given, {.ranks = 5}, {}).hosts, on({{"node1", 5}})) << "cards that the job does not use";
  given.cards_per_host = 0;
  EXPECT_EQ(choose(given, {.ranks = 5, .on_cards = true}, {}).hosts, on({{"node1", 5}})) << "Slurm does not say";
}

TEST(Plan, WithoutACardForEachRankTheJobWaitsOrShrinks) {
  const placement wanted{.ranks = 4, .on_cards = true};
  EXPECT_EQ(choose(card_nodes(3), wanted, {"node2"}).ranks, 4) << "there was a spare";
  const launch_plan few = choose(card_nodes(3), wanted, {"node2", "node3"});
  EXPECT_TRUE(few.requeue);
  EXPECT_EQ(few.reason, "2 cards are left on 1 of 3 nodes, and each of 4 ranks takes one");
  EXPECT_EQ(choose(card_nodes(3), {.ranks = 4, .shrink = true, .on_cards = true}, {"node2", "node3"}).ranks, 2);
  EXPECT_NE(refusal([] {
              choose(card_nodes(3), {.ranks = 7, .on_cards = true}, {});
            }).find("Slurm gave 6 cards, and each of the 7 ranks (place.ranks) takes one"),
            std::string::npos);
}

TEST(Plan, ADoubtfulCardIsLeftOutWhereTheJobCanDoWithout) {
  const placement five{.ranks = 5, .on_cards = true};
  const card_set cards = {{"node2", {1}}};
  const launch_plan spare = choose(card_nodes(3), five, {}, 1, cards);
  EXPECT_EQ(spare.hosts, on({{"node1", 2}, {"node2", 1}, {"node3", 2}}));
  EXPECT_EQ(spare.left_out, cards);
  EXPECT_EQ(spare.reason, "without card 1 of node2, for 5 ranks");
  const launch_plan all = choose(card_nodes(3), {.ranks = 6, .on_cards = true}, {}, 1, cards);
  EXPECT_EQ(all.ranks, 6);
  EXPECT_TRUE(all.left_out.empty()) << "it is better than none";
  const placement shrinks{.ranks = 6, .shrink = true, .on_cards = true};
  EXPECT_EQ(choose(card_nodes(3), shrinks, {}, 1, cards).ranks, 5);
  const placement lanes{.ranks = 6, .shrink = true, .lanes = 6, .on_cards = true};
  EXPECT_EQ(choose(card_nodes(3), lanes, {}, 1, cards).ranks, 3) << "5 and 4 do not divide 6";
  const launch_plan none = choose(card_nodes(2), {.ranks = 2, .on_cards = true}, {}, 1, {{"node1", {0, 1}}});
  EXPECT_EQ(none.hosts, on({{"node2", 2}})) << "a host without a card has no rank";
  const placement both{.ranks = 2, .min_nodes = 2, .on_cards = true};
  EXPECT_EQ(choose(card_nodes(2), both, {}, 1, {{"node1", {0, 1}}}).left_out, (card_set{{"node1", {0}}}));
}

TEST(Plan, RanksHearWhichCardsAreLeftOut) {
  const card_set cards = {{"node2", {0, 1}}, {"node3", {1}}};
  const launch_plan plan = choose(card_nodes(3), {.ranks = 3, .on_cards = true}, {}, 1, cards);
  EXPECT_EQ(command_for(plan, {"w"}, {}, false).extra.at("TROUPE_CARDS_LEFT_OUT"), "node2:0 node2:1 node3:1");
  const launch_plan local = choose({}, {.ranks = 1, .on_cards = true}, {}, 8, {{"", {0}}});
  EXPECT_EQ(command_for(local, {"w"}, {}, false).extra.at("TROUPE_CARDS_LEFT_OUT"), ":0");
  EXPECT_EQ(local.reason, "card 0 left out, where enough others are here");
  EXPECT_FALSE(command_for(choose({}, {.ranks = 1}, {}, 8), {"w"}, {}, false).extra.contains("TROUPE_CARDS_LEFT_OUT"));
}

TEST(Plan, TellsWhichRankHasACard) {
  const launch_plan plan = choose(card_nodes(3), {.ranks = 5, .on_cards = true}, {}, 1, {{"node2", {0}}});
  EXPECT_EQ(rank_with_card(plan, "node1", 1), 1);
  EXPECT_EQ(rank_with_card(plan, "node2", 1), 2) << "the only one left there";
  EXPECT_EQ(rank_with_card(plan, "node3", 0), 3);
  EXPECT_EQ(rank_with_card(plan, "node3", 2), std::nullopt);
  EXPECT_EQ(rank_with_card(plan, "node9", 0), std::nullopt);
  EXPECT_EQ(rank_with_card(choose({}, {.ranks = 3}, {}, 8), "", 2), 2);
  EXPECT_EQ(rank_with_card(choose({}, {.ranks = 1}, {}, 8), "", 2), 0);
}

TEST(Plan, CardsThatSlurmShowsEachRankAloneAreNotToldApart) {
  allocation given = card_nodes(2);
  EXPECT_TRUE(choose(given, {.ranks = 4, .on_cards = true}, {}).cards_are_told_apart);
  given.cards_per_rank = true;
  EXPECT_FALSE(choose(given, {.ranks = 4, .on_cards = true}, {}).cards_are_told_apart);
}

TEST(CardSetText, ByHost) {
  EXPECT_EQ(card_set_text({{"node2", {0, 3}}, {"node4", {1}}}), "cards 0, 3 of node2; card 1 of node4");
  EXPECT_EQ(card_set_text({{"", {1}}}), "card 1");
}

TEST(Plan, ItsHostsHaveRanksInTheirOrder) {
  const launch_plan plan = choose(nodes({2, 2, 2}), {.ranks = 4}, {"node1"});
  EXPECT_EQ(host_of(plan, 0), "node2");
  EXPECT_EQ(host_of(plan, 1), "node2");
  EXPECT_EQ(host_of(plan, 3), "node3");
  EXPECT_EQ(host_of(choose(std::nullopt, {.ranks = 2}, {}), 1), "") << "outside of Slurm they have no names";
}

TEST(Plan, ExcludingAHostThatIsNotThereChangesNothing) {
  EXPECT_EQ(choose(nodes({2, 2}), {.ranks = 2}, {"node9"}).hosts, choose(nodes({2, 2}), {.ranks = 2}, {}).hosts);
}

TEST(Plan, RefusesRanksThatDoNotDivideTheLanes) {
  EXPECT_NE(refusal([] { choose(nodes({2}), {.ranks = 3, .lanes = 4}, {}); }), "");
  EXPECT_NE(refusal([] { choose(nodes({2}), {.ranks = 0}, {}); }), "");
}

/// Whatever hosts die: all ranks have a place, only on hosts that live, and no host could take one from another to the
/// better.
TEST(Plan, HoldsItsRulesForRandomClusters) {
  std::mt19937 random(6);
  const auto draw = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  for (int round = 0; round < 3000; ++round) {
    const allocation given = nodes(counts(static_cast<size_t>(draw(1, 9)), draw(1, 8)));
    std::set<std::string> lost;
    for (const std::string& host : given.hosts) {
      if (draw(0, 3) == 0) {
        lost.insert(host);
      }
    }
    const auto all = static_cast<int64_t>(given.hosts.size());
    const placement wanted{.ranks = draw(1, 20), .min_nodes = std::min(all, draw(1, 3))};
    const launch_plan plan = choose(given, wanted, lost);
    const auto left = static_cast<int64_t>(given.hosts.size() - lost.size());
    ASSERT_EQ(plan.requeue, left == 0 || left < wanted.min_nodes);
    if (plan.requeue) {
      continue;
    }
    int64_t sum = 0;
    int64_t least = std::numeric_limits<int64_t>::max();
    int64_t most = 0;
    for (const host_share& share : plan.hosts) {
      ASSERT_FALSE(lost.contains(share.host));
      sum += share.ranks;
      least = std::min(least, share.ranks);
      most = std::max(most, share.ranks);
    }
    ASSERT_EQ(sum, wanted.ranks);
    ASSERT_LE(most - least, 1) << "hosts are alike";
    ASSERT_EQ(static_cast<int64_t>(plan.hosts.size()), std::min(left, wanted.ranks));
    ASSERT_GE(plan.threads_per_rank, 1);
  }
}

// ---- the command

static const strings worker = {"/opt/troupe", "worker", "--attempt", "3"};

TEST(LaunchCommand, AChildIsTheWorkerItself) {
  const launch_command start = command_for(choose(std::nullopt, {.ranks = 1}, {}), worker, {}, true);
  EXPECT_EQ(start.argv, worker);
  EXPECT_TRUE(start.extra.empty());
}

TEST(LaunchCommand, MpirunConsentsForRootAndYieldsWhenCrowded) {
  const launch_plan plan = choose(std::nullopt, {.ranks = 4}, {}, 2);
  const launch_command start = command_for(plan, worker, {}, true);
  EXPECT_EQ(start.argv, strings({"mpirun", "-n", "4", "--oversubscribe", "--bind-to", "none", "/opt/troupe", "worker",
                                 "--attempt", "3"}));
  EXPECT_EQ(start.extra, environment({{"OMPI_ALLOW_RUN_AS_ROOT", "1"},
                                      {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
                                      {"OMPI_MCA_btl", "self,vader"},
                                      {"OMPI_MCA_odls_base_sigkill_timeout", "0"},
                                      {"OMPI_MCA_mpi_yield_when_idle", "1"}}));
  EXPECT_EQ(command_for(choose(std::nullopt, {.ranks = 2}, {}, 2), worker, {}, false).extra,
            environment({{"OMPI_MCA_btl", "self,vader"}, {"OMPI_MCA_odls_base_sigkill_timeout", "0"}}));
}

TEST(LaunchCommand, AnInheritedJobIdDoesNotMakeMpirunLookForItsNodes) {
  const launch_plan plan = choose(std::nullopt, {.ranks = 2}, {}, 2);
  const environment extra = command_for(plan, worker, {{"SLURM_JOB_ID", "12"}}, false).extra;
  EXPECT_EQ(extra.at("OMPI_MCA_ras"), "^slurm");
  EXPECT_EQ(extra.at("OMPI_MCA_plm"), "^slurm");
}

TEST(LaunchCommand, WhatTheUserHasSetStays) {
  const launch_plan plan = choose(std::nullopt, {.ranks = 4}, {}, 2);
  const environment set = {
      {"OMPI_MCA_mpi_yield_when_idle", "0"}, {"OMPI_MCA_odls_base_sigkill_timeout", "5"}, {"OMPI_MCA_btl", "self,tcp"}};
  EXPECT_TRUE(command_for(plan, worker, set, false).extra.empty());
}

TEST(LaunchCommand, SrunNamesAHostOncePerRank) {
  const launch_plan plan = choose(nodes({2, 2, 2}), {.ranks = 3}, {"node2"});
  const launch_command start = command_for(plan, worker, {}, true);
  EXPECT_EQ(start.argv.front(), "srun");
  for (const char* word : {"--overlap", "--kill-on-bad-exit=1", "--mpi=pmix", "--nodes=2", "--ntasks=3",
                           "--distribution=arbitrary", "--nodelist=node1,node1,node3", "--export=ALL"}) {
    EXPECT_TRUE(has(start.argv, word)) << word;
  }
  EXPECT_TRUE(std::equal(worker.rbegin(), worker.rend(), start.argv.rbegin()));
  EXPECT_EQ(start.extra, environment({{"SLURM_EXIT_ERROR", "120"}}));
}

TEST(Refusal, IsSlurmsOwnFailureAndNotARanks) {
  const auto exit = [](int code) { return code << 8; };
  EXPECT_TRUE(is_refusal(exit(120), "srun: error: Unable to confirm allocation for job 1"));
  EXPECT_TRUE(is_refusal(exit(0), "srun: error: task 1 launch failed: Unspecified error"));
  EXPECT_FALSE(is_refusal(exit(2), "slurmstepd-node3: error: execve(): /no/such/prog: No such file or directory"));
  EXPECT_FALSE(is_refusal(exit(1), "srun: error: node3: task 2: Exited with exit code 1"));
  EXPECT_FALSE(is_refusal(SIGKILL, ""));
}

TEST(Refusal, NamesHostsUnlessItNamesAll) {
  const launch_plan plan = choose(nodes({2, 2, 2}), {.ranks = 3}, {});
  using hosts = std::set<std::string>;
  EXPECT_EQ(named_hosts(plan, "srun: error: Task launch failed on node node2: Zero Bytes were transmitted"),
            hosts({"node2"}));
  EXPECT_EQ(named_hosts(plan, "slurmstepd-node1: error: no room\nsrun: error: node3"), hosts({"node3"}));
  EXPECT_EQ(named_hosts(plan, "node1, node2, node3"), hosts());
  EXPECT_EQ(named_hosts(plan, "Unable to contact slurm controller"), hosts());
}

TEST(LaunchCommand, OneRankBySrunNeedsNoMpi) {
  const launch_command start = command_for(choose(nodes({2, 2}), {.ranks = 1}, {"node1"}), worker, {}, true);
  EXPECT_TRUE(has(start.argv, "--mpi=none"));
}

TEST(LaunchCommand, RefusesAPlanThatStartsNothing) {
  const launch_plan none = choose(nodes({2}), {.ranks = 1}, {"node1"});
  EXPECT_NE(refusal([&] { command_for(none, worker, {}, true); }), "");
  EXPECT_NE(refusal([] { command_for(choose(std::nullopt, {.ranks = 1}, {}), {}, {}, true); }), "");
}

TEST(LaunchCommand, AWrapperGoesBeforeTheCommand) {
  EXPECT_EQ(wrapped("", {"/opt/troupe", "worker"}), (strings{"/opt/troupe", "worker"}));
  EXPECT_EQ(wrapped("  ch-run --bind=/data  /images/troupe\t-- ", {"/opt/troupe", "worker"}),
            (strings{"ch-run", "--bind=/data", "/images/troupe", "--", "/opt/troupe", "worker"}));
}

TEST(GuardCommand, StartsOneGuardOnEachHostAndOutlivesTheLossOfOne) {
  const strings words = guard_command_for({"node2", "node4"}, {"/opt/troupe", "guard"}).argv;
  EXPECT_EQ(words.front(), "srun");
  EXPECT_TRUE(has(words, "--no-kill"));
  EXPECT_TRUE(has(words, "--overlap"));
  EXPECT_TRUE(has(words, "--nodes=2"));
  EXPECT_TRUE(has(words, "--ntasks=2"));
  EXPECT_TRUE(has(words, "--nodelist=node2,node4"));
  EXPECT_EQ(strings(words.end() - 2, words.end()), strings({"/opt/troupe", "guard"}));
  EXPECT_NE(refusal([] { guard_command_for({}, {"/opt/troupe", "guard"}); }), "");
  EXPECT_NE(refusal([] { guard_command_for({"node2"}, {}); }), "");
}

}  // namespace troupe::actors
