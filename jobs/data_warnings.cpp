#include "jobs/data_warnings.hpp"

#include "base/printable.hpp"
#include "io/json/json.hpp"
#include "jobs/arguments.hpp"
#include "jobs/lengths.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>

namespace troupe {

namespace {

std::string share_text(int64_t some, int64_t all) {
  return fmt::format("{:.3g} %", 100.0 * static_cast<double>(some) / static_cast<double>(std::max<int64_t>(1, all)));
}

int64_t examples_of(const source_survey& source) {
  return static_cast<int64_t>(source.training.size() + source.held_out.size());
}

class warner {
public:
  warner(const io::job& job, const data_survey& survey) : job_(job), survey_(survey) {}

  std::vector<std::string> all() {
    for (const phase_survey& phase : survey_.phases) {
      of_phase(phase);
      if (!phase.made_later) {
        batch_of(phase);
      }
      for (const source_survey& source : phase.sources) {
        of_source(phase, source);
      }
    }
    answers_longer_than_generated();
    return std::move(warnings_);
  }

private:
  template <class... Args> void warn(fmt::format_string<Args...> text, Args&&... args) {
    std::string warning = fmt::format(text, std::forward<Args>(args)...);
    if (std::find(warnings_.begin(), warnings_.end(), warning) == warnings_.end()) {
      warnings_.push_back(std::move(warning));
    }
  }

  void of_phase(const phase_survey& phase) {
    if (phase.phase == io::phase::pairs || phase.held_out() > 0 || phase.made_later) {
      return;
    }
    if (job_.split.held_out <= 0) {
      warn("split.held-out = 0: nothing is held out, so that nobody will know whether what is learned holds for other "
           "data, nor which checkpoint is the best. Give it a share, 0.5 for example");
    } else if (!was_limited(phase)) {
      warn("phase {}: of {} examples none is held out by split.held-out = {:g}: raise it, or give more data",
           io::to_string(phase.phase), phase.training(), job_.split.held_out);
    }
  }

  /// `each`: examples of an update.
  void larger_than_data(const phase_survey& phase, const char* key, int64_t each) {
    if (const int64_t examples = phase.training(); each > examples && examples > 0 && !was_limited(phase)) {
      warn("{} = {} is more than the {} examples that phase {} has: one update sees the same ones several times. Lower "
           "it, or give more data",
           key, each, examples, io::to_string(phase.phase));
    }
  }

  void batch_of(const phase_survey& phase) {
    switch (phase.phase) {
    case io::phase::sft:
      return larger_than_data(phase, "sft.batch", job_.sft.training.batch);
    case io::phase::reward:
      return larger_than_data(phase, "reward.batch", job_.reward.training.batch);
    case io::phase::ppo:
      return larger_than_data(phase, "ppo.prompts", job_.ppo.prompts);
    case io::phase::pairs:
      return larger_than_data(phase, "pairs.prompts-per-iteration", job_.pairs.prompts_per_iteration);
    case io::phase::replay:
      return;  // it draws no prompts
    }
  }

  /// Some set has more records than were looked at.
  bool was_limited(const phase_survey& phase) const {
    return survey_.limit > 0 &&
           std::any_of(phase.sources.begin(), phase.sources.end(), [this](const source_survey& source) {
             return std::max(source.report.records, source.report.stored.answers) >= survey_.limit;
           });
  }

  void of_source(const phase_survey& phase, const source_survey& source) {
    const std::string where = fmt::format("data.{} ({})", source.name, io::to_string(phase.phase));
    const int64_t examples = examples_of(source);
    if (source.with_end_of_first < 0.5) {
      warn(
          "{}: its prompts do not end in {}, as those of data.{} do: the model is asked in two ways, and one of them "
          "is foreign to what it learned. Give data.{} a prompt-template or chat-template that does, or another format",
          where, shown(first_with_end()->prompt_end), first_with_end()->name, source.name);
    }
    if (examples > 0 && 2 * source.cut_answers >= examples) {
      warn("{}: {} of its answers are cut at length.max-tokens = {} and have no end: the model learns never to come to "
           "one. Raise it, or set length.too-long = drop",
           where, share_text(source.cut_answers, examples), job_.length.max_tokens);
    }
    if (const int64_t dropped = source.report.too_long; dropped > examples) {
      warn("{}: {} of the records that it could use are too long and left out: raise length.max-prompt-tokens = {} or "
           "length.max-tokens = {}",
           where, share_text(dropped, dropped + examples), job_.length.max_prompt_tokens, job_.length.max_tokens);
    }
    if (source.without_number > 0) {
      warn("{}: {} of its {} right answers have no number (lines {}), so that no answer to them can be scored by a "
           "reward of kind = answer: mend or leave out these records, or name the field with data.{}.reference",
           where, source.without_number, examples, fmt::join(source.lines_without_number, ", "), source.name);
    }
    if (!survey_.tokens->eos_id() && phase.phase == io::phase::sft && ends_answers(source.name)) {
      warn("{}: the tokenizer in {} names no end token, so that answers have none and the model learns never to come "
           "to an end: give it an eos_token in its tokenizer_config.json",
           where, job_.model.policy);
    }
  }

  bool ends_answers(const std::string& name) const {
    return std::any_of(job_.data.begin(), job_.data.end(), [&](const io::data_section& set) {
      return set.name == name && set.end_token && set.chat_template.empty();
    });
  }

  static std::string shown(const std::string& text) { return io::json_quoted(printable(text), "the prompt"); }

  const source_survey* first_with_end() const {
    for (const phase_survey& phase : survey_.phases) {
      for (const source_survey& source : phase.sources) {
        if (!source.prompt_end.empty()) {
          return &source;
        }
      }
    }
    return nullptr;
  }

  /// PPO will not let the model say what it has learned to say.
  void answers_longer_than_generated() {
    std::vector<int64_t> lengths;
    for (const phase_survey& phase : survey_.phases) {
      for (const source_survey& source : phase.sources) {
        for (const io::example& one : source.training) {
          if (phase.phase == io::phase::sft && !one.prompt.empty()) {
            lengths.push_back(static_cast<int64_t>(one.chosen.size()));
          }
        }
      }
    }
    if (lengths.empty() || !job_.has(io::phase::ppo)) {
      return;
    }
    if (const int64_t median = median_of(lengths); median > job_.generation.max_new_tokens) {
      warn("generation.max-new-tokens = {} cuts most answers of the kind that phase sft teaches: their median is {} "
           "tokens. Raise it",
           job_.generation.max_new_tokens, median);
    }
  }

  const io::job& job_;
  const data_survey& survey_;
  std::vector<std::string> warnings_;
};

/// As replay counts them (replay.cpp), of the data sets' prompts.
void require_numbers(const io::job& job, const data_survey& survey) {
  double most = 0;
  bool judged = false;
  for (const io::reward_source& source : job.rewards) {
    if (source.kind == io::reward_kind::answer) {
      most = judged ? std::min(most, source.max_unscorable) : source.max_unscorable;
      judged = true;
    }
  }
  for (const phase_survey& phase : survey.phases) {
    int64_t prompts = 0;
    int64_t missing = 0;
    std::string where;
    for (const source_survey& source : phase.sources) {
      prompts += examples_of(source);
      missing += source.without_number;
      if (source.without_number > 0) {
        where += fmt::format("{}data.{}, lines {}", where.empty() ? "" : "; ", source.name,
                             fmt::join(source.lines_without_number, ", "));
      }
    }
    if (judged && static_cast<double>(missing) > std::ceil(most * static_cast<double>(prompts))) {
      throw usage_error(
          "phase {}: {} of {} prompts have a right answer without a number ({}{}), so that a reward of kind = answer "
          "cannot score what is said to them, and its max-unscorable = {:g} allows {:g} %. Name the field that has the "
          "right answer (data.NAME.reference), mend or leave out these records, or raise max-unscorable",
          io::to_string(phase.phase), missing, prompts, where, missing > 5 ? " ..." : "", most, 100 * most);
    }
  }
}

}  // namespace

std::vector<std::string> data_warnings(const io::job& job, const data_survey& survey) {
  return warner(job, survey).all();
}

void warn_of_data(const io::job& job) {
  constexpr int64_t looked_at = 1000;
  std::optional<data_survey> survey;
  try {
    survey = survey_data(job, looked_at);
  } catch (const error&) {
    return;  // told, with more words, by who cannot do without
  }
  require_numbers(job, *survey);
  for (const std::string& warning : data_warnings(job, *survey)) {
    spdlog::warn("{}", warning);
  }
}

}  // namespace troupe
