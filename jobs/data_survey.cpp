#include "jobs/data_survey.hpp"

#include "actors/models/special_tokens.hpp"
#include "io/job/phases.hpp"
#include "io/rewards/answer_reward.hpp"
#include "jobs/made_pairs.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

constexpr size_t most_lines = 5;

bool rolls_out(io::phase phase) { return phase == io::phase::ppo || phase == io::phase::pairs; }

const std::vector<io::example>& part(const source_survey& of, bool held_out) {
  return held_out ? of.held_out : of.training;
}

/// Calls with each example, kept or held out.
template <class Visit> void visit(const source_survey& source, const Visit& each) {
  for (const bool held_out : {false, true}) {
    for (const io::example& one : part(source, held_out)) {
      each(one);
    }
  }
}

std::string prompt_of(const io::tokenizer& tokens, const io::example& one) { return tokens.decode(one.prompt, false); }

std::string common_end(const std::string& a, const std::string& b) {
  const auto parted = std::mismatch(a.rbegin(), a.rend(), b.rbegin(), b.rend()).first;
  return {parted.base(), a.end()};
}

/// A template has a word at least; the stop at the end of each question is none.
bool has_a_word(const std::string& text) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  constexpr int64_t letters = 4;
  return std::count_if(text.begin(), text.end(), is_letter) >= letters;
}

/// Without the part of a word that it begins with by chance.
std::string from_a_line_or_mark(const std::string& text) {
  const size_t at = text.find_first_of("\n<[|");
  return at == std::string::npos ? text : text.substr(at);
}

void find_prompt_end(const io::tokenizer& tokens, source_survey& source) {
  constexpr int64_t looked_at = 200;
  constexpr int64_t fewest = 3;
  int64_t seen = 0;
  std::string end;
  visit(source, [&](const io::example& one) {
    if (++seen <= looked_at) {
      const std::string prompt = prompt_of(tokens, one);
      end = seen == 1 ? prompt : common_end(end, prompt);
    }
  });
  end = from_a_line_or_mark(end);
  source.prompt_end = seen >= fewest && has_a_word(end) ? end : "";
}

void count_cut_answers(const io::job& job, const io::example_rules& rules, source_survey& source) {
  visit(source, [&](const io::example& one) {
    const bool full =
        static_cast<int64_t>(one.prompt.size() + one.chosen.size()) >= job.length.max_tokens && !one.chosen.empty();
    source.cut_answers += full && rules.end && one.chosen.back() != *rules.end ? 1 : 0;
  });
}

void count_answers_without_number(source_survey& source) {
  visit(source, [&](const io::example& one) {
    if (!io::reference_number(one.reference)) {
      ++source.without_number;
      if (source.lines_without_number.size() < most_lines) {
        source.lines_without_number.push_back(one.line);
      }
    }
  });
}

/// In the pairs phase one source judges alone.
bool judged_by_answers(const io::job& job, io::phase phase) {
  if (phase == io::phase::pairs) {
    const io::reward_source* labeller = job.reward_named(job.pairs.reward);
    return labeller != nullptr && labeller->kind == io::reward_kind::answer;
  }
  return std::any_of(job.rewards.begin(), job.rewards.end(),
                     [](const io::reward_source& source) { return source.kind == io::reward_kind::answer; });
}

class surveyor {
public:
  surveyor(const io::job& job, const std::shared_ptr<const io::tokenizer>& tokens)
      : job_(job), tokens_(tokens), rules_(actors::example_rules_of(job, tokens)) {}

  phase_survey survey(io::phase phase) {
    const made_pairs made = made_pairs_of(job_, phase);
    phase_survey out{.phase = phase, .sources = {}, .made_later = made.wanted && made.file.empty()};
    io::phase_data data = io::read_phase_data(job_, phase, rules_, made.file);
    for (size_t s = 0; s < data.source_names.size(); ++s) {
      const bool made_by_run = s >= job_.data.size();
      if (made_by_run || io::contains(io::served_phases(job_.data[s]), phase)) {
        out.sources.push_back(look_at(data, s, phase));
      }
    }
    return out;
  }

private:
  source_survey look_at(io::phase_data& data, size_t s, io::phase phase) const {
    source_survey source{.name = data.source_names[s],
                         .format = s < job_.data.size() ? std::string(io::to_string(job_.data[s].format)) : "pairs",
                         .report = data.reports[s],
                         .training = std::move(data.training[s]),
                         .held_out = std::move(data.held_out[s]),
                         .prompt_end = "",
                         .lines_without_number = {}};
    find_prompt_end(*tokens_, source);
    if (rolls_out(phase)) {
      if (judged_by_answers(job_, phase)) {
        count_answers_without_number(source);
      }
    } else {
      count_cut_answers(job_, rules_, source);
    }
    return source;
  }

  const io::job& job_;
  const std::shared_ptr<const io::tokenizer>& tokens_;
  io::example_rules rules_;
};

/// Prompts of every set are held against the end that those of the first set with one have.
void compare_ends(data_survey& all) {
  std::string first;
  for (phase_survey& phase : all.phases) {
    for (source_survey& source : phase.sources) {
      if (first.empty()) {
        first = source.prompt_end;
        continue;
      }
      int64_t prompts = 0;
      int64_t alike = 0;
      visit(source, [&](const io::example& one) {
        prompts += one.prompt.empty() ? 0 : 1;
        alike += !one.prompt.empty() && prompt_of(*all.tokens, one).ends_with(first) ? 1 : 0;
      });
      source.with_end_of_first = prompts > 0 ? static_cast<double>(alike) / static_cast<double>(prompts) : 1;
    }
  }
}

}  // namespace

int64_t phase_survey::training() const {
  int64_t count = 0;
  for (const source_survey& source : sources) {
    count += static_cast<int64_t>(source.training.size());
  }
  return count;
}

int64_t phase_survey::held_out() const {
  int64_t count = 0;
  for (const source_survey& source : sources) {
    count += static_cast<int64_t>(source.held_out.size());
  }
  return count;
}

data_survey survey_data(const io::job& job, int64_t limit) {
  io::job limited = job;
  for (io::data_section& set : limited.data) {
    set.limit = limit > 0 && (set.limit == 0 || set.limit > limit) ? limit : set.limit;
  }
  data_survey all{.tokens = io::load_tokenizer(job.model.policy), .phases = {}, .limit = limit};
  surveyor at_work(limited, all.tokens);
  for (const io::phase phase : job.run.phases) {
    all.phases.push_back(at_work.survey(phase));
  }
  compare_ends(all);
  return all;
}

learned_span learned_tokens(const io::job& job, io::phase phase, const io::example& example,
                            const std::vector<int32_t>& answer) {
  const size_t prompt = example.prompt.size();
  const size_t all = prompt + answer.size();
  switch (phase) {
  case io::phase::sft:
    return {job.sft.loss == io::sft_loss::all || prompt == 0 ? std::min<size_t>(1, all) : prompt, all};
  case io::phase::reward: {
    const auto parted =
        std::mismatch(example.chosen.begin(), example.chosen.end(), example.rejected.begin(), example.rejected.end());
    const auto same = static_cast<size_t>(parted.first - example.chosen.begin());
    return {job.reward.loss == io::reward_loss::end ? std::max<size_t>(1, all) - 1 : prompt + same, all};
  }
  case io::phase::pairs:
  case io::phase::ppo:
  case io::phase::replay:
    break;
  }
  return {all, all};
}

}  // namespace troupe
