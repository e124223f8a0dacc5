// Random jobs: what is written reads back equal.
#include "base/error.hpp"
#include "io/job/job.hpp"
#include "io/job/options.hpp"

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace troupe::io {

static const job_origin here{.name = "job.ini", .stem = "job", .folder = "/jobs", .current = "/home/me"};

static const std::vector<phase> every_phase = {phase::pairs, phase::sft, phase::reward, phase::ppo, phase::replay};

static std::string random_text(std::mt19937_64& random) {
  static const std::vector<std::string> pieces = {"a",  " ", "#",   ";", "\"",   "\\", "\n",
                                                  "\t", "=", "[x]", "é", "\x01", ","};
  std::string out;
  for (uint64_t n = random() % 6; n > 0; --n) {
    out += pieces[random() % pieces.size()];
  }
  return out;
}

/// A value of the field's domain, whatever it means beside others.
struct randomiser {
  std::mt19937_64& random;
  const option& row;

  double number() const {
    const double low = std::max(row.range.low, -1e3);
    const double high = std::min(row.range.high, 1e3);
    const double x = low + (high - low) * std::generate_canonical<double, 53>(random);
    return row.range.contain(x) ? x : (low + high) / 2;
  }
  void operator()(bool* v) const { *v = random() % 2 == 0; }
  void operator()(int64_t* v) const { *v = static_cast<int64_t>(number() + 0.5); }
  void operator()(uint64_t* v) const { *v = random(); }
  void operator()(double* v) const { *v = number(); }
  void operator()(std::string* v) const {
    *v = row.text == text_kind::plain ? random_text(random) : "/p/" + std::to_string(random() % 9);
  }
  void operator()(std::vector<std::string>* v) const {
    v->clear();
    for (uint64_t n = random() % 4; n > 0; --n) {
      v->push_back(random_text(random));
    }
  }
  void operator()(rank_list* v) const {
    v->ranks.clear();
    for (int64_t rank = 0; rank < 12; ++rank) {
      if (random() % 2 == 0) {
        v->ranks.push_back(rank);
      }
    }
  }
  void operator()(const choice_field& f) const { f.set(f.value, random() % f.words.size()); }
  void operator()(const choice_list_field& f) const {
    std::vector<size_t> indices(random() % 3);
    for (size_t& i : indices) {
      i = random() % f.words.size();
    }
    f.set(f.value, indices);
  }
};

static job random_job(std::mt19937_64& random) {
  job out;
  for (uint64_t n = random() % 3; n > 0; --n) {
    ensure_entry(out, "data.*", "d" + std::to_string(n));
    ensure_entry(out, "rewards.*", "r" + std::to_string(n));
  }
  for (const option& row : job_options()) {
    for (const std::string& name : entry_names(out, row.section)) {
      std::visit(randomiser{random, row}, row.find(out, name));
    }
  }
  return out;
}

TEST(JobRoundTripTest, RandomFieldsSurviveWritingAndReading) {
  std::mt19937_64 random(7);
  for (int trial = 0; trial < 40; ++trial) {
    const job before = random_job(random);
    problem_list problems;
    job after;
    apply(parse_ini(job_text(before), "job.ini", problems), {}, after, problems);
    ASSERT_TRUE(problems.empty()) << problems.front() << "\n" << job_text(before);
    ASSERT_EQ(before, after) << job_text(before);
    for (const phase of : every_phase) {
      ASSERT_EQ(job_digest(before, of), job_digest(after, of));
    }
  }
}

TEST(JobRoundTripTest, AResolvedJobIsAFixedPoint) {
  const job before = parse_job("[model]\npolicy = m\n[data.a]\npath = a.jsonl\nformat = "
                               "pairs\n[generation]\nstop = \"\\n\"\n",
                               here);
  const job after = parse_job(job_text(before), here);
  EXPECT_EQ(before, after);
  EXPECT_EQ(job_text(before), job_text(after));
}

/// Whether any phase's digest differs.
static bool digests_differ(const job& a, const job& b) {
  return std::any_of(every_phase.begin(), every_phase.end(),
                     [&](phase of) { return job_digest(a, of) != job_digest(b, of); });
}

/// Options that are held by what follows from them: whose a prompt is.
static bool is_held_by_its_effect(const option& row) {
  return row.section == "split" || row.full_name("").ends_with(".phases");
}

TEST(JobRoundTripTest, EveryChangeOfANumberOptionChangesTheDigestAndIsNamed) {
  std::mt19937_64 random(11);
  job base = random_job(random);
  base.run.phases = every_phase;
  base.pairs.phases = {phase::sft, phase::reward};
  // Where learning rates fall, lengths count.
  for (optimizer_options* learns : {&base.sft.training.optimizer, &base.reward.training.optimizer, &base.ppo.policy}) {
    learns->schedule = schedule::linear;
  }
  for (data_section& set : base.data) {
    set.phases = {phase::pairs, phase::sft, phase::ppo};
  }
  for (const option& row : job_options()) {
    for (const std::string& name : entry_names(base, row.section)) {
      if (is_held_by_its_effect(row)) {
        continue;
      }
      job changed = base;
      for (int attempt = 0; attempt < 50 && changed == base; ++attempt) {
        std::visit(randomiser{random, row}, row.find(changed, name));
      }
      ASSERT_NE(changed, base) << row.full_name(name);
      const auto named = differences(base, changed, every_phase);
      EXPECT_EQ(digests_differ(changed, base), row.numbers) << row.full_name(name);
      ASSERT_EQ(named.size(), row.numbers ? 1U : 0U) << row.full_name(name) << "\n"
                                                     << fmt::format("{}", fmt::join(named, "\n"));
      EXPECT_TRUE(named.empty() || named[0].starts_with(row.full_name(name) + ": ")) << row.full_name(name);
    }
  }
}

TEST(JobRoundTripTest, EverySectionSaysOfWhichPhasesItIs) {
  for (const section_help& section : job_sections()) {
    EXPECT_NE(section.of, nullptr) << section.name;
  }
}

}  // namespace troupe::io
