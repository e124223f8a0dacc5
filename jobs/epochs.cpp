#include "jobs/epochs.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/datasets/examples.hpp"
#include "jobs/made_pairs.hpp"

#include <algorithm>
#include <string>
#include <string_view>

namespace troupe {

namespace {

/// A token for each text, so that no two that differ become equal.
std::vector<int32_t> one_token(std::string_view text) { return {static_cast<int32_t>(digest(text) & 0x7fffffff)}; }

/// How the set's turns will be written, as far as that can be known: which prompts a phase gets depends on it.
io::chat_format format_of(const io::job& job, const io::data_section& set) {
  try {
    return io::chat_format::chosen(io::chat_settings_of(set), *io::load_tokenizer(job.model.policy));
  } catch (const error&) {
    return io::chat_format::named("dialogue");  // what is missing is told where the run begins
  }
}

int64_t updates_of(const io::job& job, io::phase wanted, const io::training_options& training) {
  const io::text_joiner one_token_each{io::text_encoder(one_token)};
  const io::example_rules rules{.texts = one_token_each,
                                .chats = one_token_each,
                                .start = {},
                                .end = {},
                                .length = job.length,
                                .format_of = [&](const io::data_section& set) { return format_of(job, set); }};
  const made_pairs made = made_pairs_of(job, wanted);
  if (made.wanted && made.file.empty()) {
    return 0;
  }
  try {
    const io::phase_data data = io::load_phase_data(job, wanted, rules, made.file);
    const auto epoch = static_cast<double>(io::epoch_size_of(io::sources_of(data, job)));
    return std::max<int64_t>(1, static_cast<int64_t>(training.epochs * epoch / static_cast<double>(training.batch)));
  } catch (const error& failure) {
    if (failure.code() != errc::not_found) {
      throw;  // a run would be refused for it too
    }
    return 0;
  }
}

}  // namespace

void count_epochs(const io::job& job, std::vector<phase_plan>& plans) {
  for (phase_plan& plan : plans) {
    if (plan.count == 0 && plan.phase == io::to_string(io::phase::sft)) {
      plan.count = updates_of(job, io::phase::sft, job.sft.training);
    } else if (plan.count == 0 && plan.phase == io::to_string(io::phase::reward)) {
      plan.count = updates_of(job, io::phase::reward, job.reward.training);
    }
  }
}

}  // namespace troupe
