#include "actors/models/data_fit.hpp"

#include "base/error.hpp"
#include "io/chat/chat.hpp"
#include "io/datasets/record_reader.hpp"
#include "io/datasets/stored_answers.hpp"
#include "io/job/phases.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <optional>

namespace troupe::actors {

namespace {

constexpr int64_t records_looked_at = 20;

/// What the first records of a set have.
struct first_look {
  int64_t records = 0, usable = 0, answers = 0, pairs = 0;
  std::string reason;  ///< of one that cannot be used
};

first_look look_at(io::data_section set, const io::chat_format& format) {
  set.limit = set.limit > 0 ? std::min(set.limit, records_looked_at) : records_looked_at;
  io::record_reader reader(set, format);
  first_look seen;
  for (io::record one; reader.next(one);) {
    ++seen.usable;
    seen.answers += one.has_answer ? 1 : 0;
    seen.pairs += one.has_pair ? 1 : 0;
  }
  seen.records = reader.counts().records;
  seen.reason = reader.counts().examples.empty() ? "" : reader.counts().examples.front();
  return seen;
}

/// None: the template cannot be known here.
std::optional<io::chat_format> format_of(const io::data_section& set, const io::tokenizer* tokens) {
  if (tokens != nullptr) {
    return io::chat_format::chosen(io::chat_settings_of(set), *tokens);
  }
  const bool own = set.chat_template.empty() || set.chat_template == "model";
  return own ? std::optional(io::chat_format::named("dialogue")) : std::nullopt;
}

/// A phase of the job that the set serves, but whose need none of its records meets.
void check_needs(const io::job& job, const io::data_section& set, const first_look& seen,
                 std::vector<std::string>& misfits) {
  const std::vector<io::phase> served = io::served_phases(set);
  const auto need = [&](io::phase phase, int64_t having, const char* what) {
    if (job.has(phase) && io::contains(served, phase) && having == 0) {
      misfits.push_back(fmt::format(
          "data.{} serves phase {}, but none of its first {} records has {} (read as format = {}): name its fields, "
          "give another format, or data.{}.phases without {}",
          set.name, io::to_string(phase), seen.usable, what, io::to_string(set.format), set.name,
          io::to_string(phase)));
    }
  };
  need(io::phase::sft, seen.answers, "an answer");
  need(io::phase::reward, seen.pairs, "a better and a worse answer");
}

/// Of stored experience: that there is some, and that its ids are the tokenizer's.
void check_stored(const io::data_section& set, const io::tokenizer* tokens, std::vector<std::string>& misfits) {
  try {
    const std::filesystem::path first = io::stored_files(set).front();
    if (tokens != nullptr) {
      io::require_same_tokenizer(io::read_experience(first), tokens->digest(), first);
    }
  } catch (const error& failure) {
    misfits.emplace_back(failure.what());
  }
}

void check_set(const io::job& job, const io::data_section& set, const io::tokenizer* tokens,
               std::vector<std::string>& misfits) {
  const std::optional<io::chat_format> format = format_of(set, tokens);
  if (!format) {
    return;
  }
  const first_look seen = look_at(set, *format);
  if (seen.records == 0) {
    misfits.push_back(fmt::format("data.{}.path = {}: the file holds no record", set.name, set.path));
  } else if (seen.usable == 0) {
    misfits.push_back(
        fmt::format("data.{}.path = {}: none of its first {} records can be used as format = {}: {}. Name "
                    "its fields (data.{}.prompt and the like), or give another format",
                    set.name, set.path, seen.records, io::to_string(set.format), seen.reason, set.name));
  } else {
    check_needs(job, set, seen, misfits);
  }
}

}  // namespace

std::vector<std::string> data_misfits(const io::job& job, const io::tokenizer* tokens) {
  std::vector<std::string> misfits;
  std::error_code ignored;
  for (const io::data_section& set : job.data) {
    if (set.format == io::data_format::experience) {
      check_stored(set, tokens, misfits);
      continue;
    }
    if (!std::filesystem::is_regular_file(set.path, ignored)) {
      continue;  // told by who needs the file
    }
    try {
      check_set(job, set, tokens, misfits);
    } catch (const error& failure) {
      misfits.push_back(fmt::format("data.{}: {}", set.name, failure.what()));
    }
  }
  return misfits;
}

}  // namespace troupe::actors
