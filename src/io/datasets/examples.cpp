#include "io/datasets/examples.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/job/phases.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace troupe::io {

namespace {

constexpr const char* too_long_reason = "too long";
constexpr const char* empty_reason = "empty or equal";
constexpr const char* lacking_reason = "without the answer or pair needed";
constexpr const char* conflicting_reason = "claimed by another set";

enum class fit { whole, too_long, empty };

int64_t length_of(const std::vector<int32_t>& ids) { return static_cast<int64_t>(ids.size()); }

/// Keeps prompts and answers within the job's lengths; remembers whether anything was cut.
class cutter {
public:
  explicit cutter(const length_section& length) : length_(length) {}

  /// A prompt loses its beginning, but for its first `kept` tokens.
  fit cut_prompt(std::vector<int32_t>& ids, int64_t kept) {
    const int64_t excess = length_of(ids) - std::max(kept, length_.max_prompt_tokens);
    if (excess <= 0) {
      return fit::whole;
    }
    if (length_.too_long == too_long::drop) {
      return fit::too_long;
    }
    ids.erase(ids.begin() + kept, ids.begin() + kept + excess);
    truncated_ = true;
    return fit::whole;
  }

  /// An answer loses its end.
  fit cut_answer(std::vector<int32_t>& ids, int64_t prompt_tokens) {
    const int64_t room = length_.max_tokens - prompt_tokens;
    if (length_of(ids) <= room) {
      return fit::whole;
    }
    if (length_.too_long == too_long::drop || room <= 0) {
      return fit::too_long;
    }
    ids.resize(static_cast<size_t>(room));
    truncated_ = true;
    return fit::whole;
  }

  bool truncated() const { return truncated_; }

private:
  const length_section& length_;
  bool truncated_ = false;
};

/// Builds the example of a record.
class example_maker {
public:
  example_maker(const record& from, const data_section& set, const example_rules& rules, cutter& cut)
      : from_(from), set_(set), rules_(rules), cut_(cut), joiner_(from.rendered ? rules.chats : rules.texts) {}

  /// `asked`: as a model is asked with it, not as it stands before its answers.
  fit put_prompt(bool asked, std::vector<int32_t>& out) {
    prompt_text_ = !from_.rendered ? jinja::text(from_.prompt)
                   : asked         ? from_.rendered->prompt
                                   : from_.rendered->before;
    if (!prompt_text_.empty()) {
      prompt_ = joiner_.prompt(prompt_text_);
    }
    out = writes_own_start() ? std::vector<int32_t>() : rules_.start;
    const int64_t kept = length_of(out);
    out.insert(out.end(), prompt_.begin(), prompt_.end());
    return cut_.cut_prompt(out, kept);
  }

  fit put_answer(const jinja::text& text, int64_t prompt_tokens, std::vector<int32_t>& out) {
    out = text.empty() ? std::vector<int32_t>() : joiner_.answer(prompt_text_, prompt_, text);
    if (out.empty()) {
      return fit::empty;
    }
    if (!ends_by_itself(text, out) && set_.end_token && rules_.end) {
      out.push_back(*rules_.end);
    }
    return cut_.cut_answer(out, prompt_tokens);
  }

  const jinja::text chosen() const { return from_.rendered ? from_.rendered->chosen : jinja::text(from_.chosen); }
  const jinja::text rejected() const { return from_.rendered ? from_.rendered->rejected : jinja::text(from_.rejected); }

private:
  /// A template writes the start token itself, if it wants one; the plain formats have no token of their own.
  bool writes_own_start() const {
    return from_.rendered && rules_.tokens &&
           std::any_of(prompt_.begin(), prompt_.end(), [&](int32_t id) { return rules_.tokens->is_special(id); });
  }

  /// Whether the format has a token for the end of a turn: then this is what a model learns to end with, and what
  /// follows it is left out.
  bool ends_by_itself(const jinja::text& text, std::vector<int32_t>& ids) const {
    if (!from_.rendered || !rules_.tokens) {
      return false;
    }
    trim_turn_end(*rules_.tokens, text, ids);
    return rules_.tokens->is_special(ids.back());
  }

  const record& from_;
  const data_section& set_;
  const example_rules& rules_;
  cutter& cut_;
  const text_joiner& joiner_;
  jinja::text prompt_text_;
  std::vector<int32_t> prompt_;  ///< its ids, whole
};

bool rollout_phase(phase wanted) { return wanted == phase::ppo || wanted == phase::pairs; }

fit fill_example(example_maker& make, const record& from, phase wanted, example& out) {
  fit result = make.put_prompt(rollout_phase(wanted), out.prompt);
  if (result != fit::whole) {
    return result;
  }
  if (rollout_phase(wanted)) {
    out.reference = from.reference;
    return out.prompt.empty() ? fit::empty : fit::whole;
  }
  result = make.put_answer(make.chosen(), length_of(out.prompt), out.chosen);
  if (result != fit::whole || wanted == phase::sft) {
    return result;
  }
  result = make.put_answer(make.rejected(), length_of(out.prompt), out.rejected);
  return result == fit::whole && out.chosen == out.rejected ? fit::empty : result;
}

fit fill_example(cutter& cut, const made_pair& from, phase wanted, example& out) {
  out.prompt = from.prompt_ids;
  out.chosen = from.chosen_ids;
  fit result = cut.cut_answer(out.chosen, length_of(out.prompt));
  if (result != fit::whole || wanted == phase::sft) {
    return result;
  }
  out.rejected = from.rejected_ids;
  result = cut.cut_answer(out.rejected, length_of(out.prompt));
  return result == fit::whole && out.chosen == out.rejected ? fit::empty : result;
}

void note_line(source_report& report, const char* reason, int64_t line) {
  constexpr size_t most = 5;
  if (std::vector<int64_t>& lines = report.lines[reason]; lines.size() < most) {
    lines.push_back(line);
  }
}

/// Counts what became of an example; whether it is kept.
bool count(fit result, bool truncated, int64_t line, source_report& report) {
  switch (result) {
  case fit::too_long:
    ++report.too_long;
    note_line(report, too_long_reason, line);
    return false;
  case fit::empty:
    ++report.empty;
    note_line(report, empty_reason, line);
    return false;
  case fit::whole:
    break;
  }
  ++report.kept;
  report.truncated += truncated ? 1 : 0;
  return true;
}

}  // namespace

static int64_t spelled_in(const record::rendered_turns& turns, const special_token_counter& counter) {
  return counter.count(turns.before) + counter.count(turns.chosen) + counter.count(turns.rejected);
}

std::optional<example> make_example(const record& record, phase wanted, const data_section& set,
                                    const example_rules& rules, source_report& report) {
  const bool lacking = (wanted == phase::sft && !record.has_answer) || (wanted == phase::reward && !record.has_pair);
  if (lacking) {
    ++report.lacking;
    note_line(report, lacking_reason, record.line);
    return std::nullopt;
  }
  example out;
  out.source = record.source;
  out.line = record.line;
  out.prompt_digest = record.prompt_digest;
  cutter cut(rules.length);
  example_maker make(record, set, rules, cut);
  if (record.rendered && rules.spelled) {
    report.spelled += spelled_in(*record.rendered, *rules.spelled);
  }
  const fit result = fill_example(make, record, wanted, out);
  return count(result, cut.truncated(), out.line, report) ? std::optional(std::move(out)) : std::nullopt;
}

std::optional<example> make_example(const made_pair& pair, int64_t line, phase wanted, const length_section& length,
                                    source_report& report) {
  example out;
  out.line = line;
  out.prompt_digest = pair.prompt_digest;
  cutter cut(length);
  const fit result = fill_example(cut, pair, wanted, out);
  return count(result, cut.truncated(), out.line, report) ? std::optional(std::move(out)) : std::nullopt;
}

namespace {

class phase_loader {
public:
  phase_loader(const job& job, phase wanted, const example_rules& rules) : job_(job), wanted_(wanted), rules_(rules) {}

  void add(const data_section& set);
  void add_stored(const data_section& set);
  void add_made(const std::string& path);
  phase_data finish();
  phase_data read() { return std::move(out_); }

private:
  enum class part { none, training, held_out };

  int64_t begin_source(const std::string& name);
  part part_of(data_use use) const;
  /// Where what belongs to a prompt goes; counted where it goes nowhere.
  part claim(uint64_t prompt_digest, int64_t line, const split_shares& shares);
  void keep(std::optional<example> made, part where);
  void keep_stored(const stored_answer& stored, const split_shares& shares, int64_t source);

  const job& job_;
  phase wanted_;
  const example_rules& rules_;
  prompt_registry registry_;
  phase_data out_;
};

double share_of(const split_shares& shares, data_use use) {
  switch (use) {
  case data_use::sft:
    return shares.sft;
  case data_use::reward:
    return shares.reward;
  case data_use::ppo:
    return shares.ppo;
  case data_use::held_out:
    break;
  }
  return shares.held_out;
}

phase_loader::part phase_loader::part_of(data_use use) const {
  if (wanted_ == phase::pairs) {
    const bool wanted = use == data_use::held_out ||
                        (use == data_use::sft && contains(job_.pairs.phases, phase::sft)) ||
                        (use == data_use::reward && contains(job_.pairs.phases, phase::reward));
    return wanted ? part::training : part::none;
  }
  if (use == data_use::held_out) {
    return part::held_out;
  }
  const data_use own = wanted_ == phase::sft      ? data_use::sft
                       : wanted_ == phase::reward ? data_use::reward
                                                  : data_use::ppo;
  return use == own ? part::training : part::none;
}

phase_loader::part phase_loader::claim(uint64_t prompt_digest, int64_t line, const split_shares& shares) {
  source_report& report = out_.reports.back();
  const data_use use = registry_.claim(prompt_digest, shares);
  ++report.records;
  if (share_of(shares, use) <= 0) {
    ++report.conflicting;
    note_line(report, conflicting_reason, line);
    return part::none;
  }
  const part where = part_of(use);
  report.other_use += where == part::none ? 1 : 0;
  return where;
}

void phase_loader::keep(std::optional<example> made, part where) {
  if (made) {
    auto& list = where == part::training ? out_.training : out_.held_out;
    if (where == part::held_out) {
      --out_.reports.back().kept;  // as which make_example has counted it
      ++out_.reports.back().held_out;
    }
    list.back().push_back(std::move(*made));
  }
}

int64_t phase_loader::begin_source(const std::string& name) {
  out_.source_names.push_back(name);
  out_.training.emplace_back();
  out_.held_out.emplace_back();
  out_.reports.push_back({.name = name});
  return static_cast<int64_t>(out_.source_names.size()) - 1;
}

void phase_loader::add(const data_section& set) {
  const int64_t source = begin_source(set.name);
  const split_shares shares = shares_for(job_, set);
  const bool used = serves(set, wanted_);
  const chat_format format = rules_.format_of(set);
  record_reader records(set, format);
  source_report& report = out_.reports.back();
  for (record one; records.next(one);) {
    if (!shares.any()) {
      continue;  // no phase of the run has a part in it
    }
    if (!used) {
      registry_.claim(one.prompt_digest, shares);  // what it claims holds against later sets in every phase
      continue;
    }
    one.source = source;
    const part where = claim(one.prompt_digest, one.line, shares);
    if (where != part::none) {
      keep(make_example(one, wanted_, set, rules_, report), where);
    }
  }
  require_usable(set, records.counts(), job_.data_sets.max_unusable);
  if (used) {
    report.unusable = records.counts().unusable;
    report.records += report.unusable;
    report.examples = records.counts().examples;
  }
}

void phase_loader::keep_stored(const stored_answer& stored, const split_shares& shares, int64_t source) {
  source_report& report = out_.reports.back();
  const int64_t number = report.records + 1;
  const part where = claim(stored.ids.prompt_digest, number, shares);
  if (where == part::none) {
    return;
  }
  std::optional<example> made = make_example(stored.ids, number, wanted_, rules_.length, report);
  if (made) {
    made->source = source;
    made->weight = stored.weight;
  }
  if (made && where == part::training) {
    const auto kept = static_cast<double>(report.kept);
    report.chosen_tokens += (static_cast<double>(length_of(made->chosen)) - report.chosen_tokens) / kept;
    report.rejected_tokens += (static_cast<double>(length_of(made->rejected)) - report.rejected_tokens) / kept;
  }
  keep(std::move(made), where);
}

/// Where every answer was left out for its reward, there is nothing to choose by.
void require_scored(const data_section& set, const stored_counts& counts) {
  if (counts.unscorable > 0 && counts.unscorable == counts.answers - counts.duplicates) {
    throw error(errc::bad_argument,
                "data.{}: none of its {} answers has a reward, and what is learned from it is chosen by rewards: score "
                "them (troupe rescore)",
                set.name, counts.answers);
  }
}

void phase_loader::add_stored(const data_section& set) {
  const int64_t source = begin_source(set.name);
  const split_shares shares = shares_for(job_, set);
  if (!shares.any()) {
    return;  // no phase of the run has a part in it
  }
  const bool used = serves(set, wanted_);
  int64_t answers = 0;
  for (const std::filesystem::path& file : stored_files(set)) {
    if (set.limit > 0 && answers >= set.limit) {
      return;  // a survey, which has seen enough
    }
    const experience e = read_experience(file);
    answers += e.sequences();
    if (rules_.tokens) {
      require_same_tokenizer(e, rules_.tokens->digest(), file);
    }
    if (!used) {
      for (const uint64_t prompt : e.prompt_id_B) {
        registry_.claim(prompt, shares);
      }
      continue;
    }
    for (const stored_answer& stored : choose_stored(e, set, wanted_, out_.reports.back().stored)) {
      keep_stored(stored, shares, source);
    }
  }
  require_scored(set, out_.reports.back().stored);
}

void phase_loader::add_made(const std::string& path) {
  data_section set;
  set.name = "pairs";
  set.format = data_format::pairs;
  set.phases = job_.pairs.phases;
  const int64_t source = begin_source(set.name);
  if (!serves(set, wanted_)) {
    return;
  }
  const split_shares shares = shares_for(job_, set);
  int64_t line = 0;
  for (const made_pair& pair : read_pairs(path)) {
    ++line;
    const part where = claim(pair.prompt_digest, line, shares);
    if (where == part::none) {
      continue;
    }
    std::optional<example> made = make_example(pair, line, wanted_, rules_.length, out_.reports.back());
    if (made) {
      made->source = source;
      out_.made_pairs = true;
    }
    keep(std::move(made), where);
  }
}

void fold(digest_stream& stream, const std::vector<int32_t>& ids) {
  const int64_t count = length_of(ids);
  stream.update(std::as_bytes(std::span(&count, 1)));
  stream.update(std::as_bytes(std::span(ids)));
}

void tell_shares(phase_data& data, const job& job) {
  const std::vector<blend_source> sources = sources_of(data, job);
  const auto all = static_cast<double>(epoch_size_of(sources));
  for (size_t s = 0; s < sources.size(); ++s) {
    data.reports[s].share = static_cast<double>(epoch_size_of({sources[s]})) / all;
  }
}

phase_data phase_loader::finish() {
  digest_stream stream;
  int64_t training = 0;
  for (const auto* part : {&out_.training, &out_.held_out}) {
    for (const std::vector<example>& source : *part) {
      training += part == &out_.training ? static_cast<int64_t>(source.size()) : 0;
      for (const example& one : source) {
        fold(stream, one.prompt);
        fold(stream, one.chosen);
        fold(stream, one.rejected);
        stream.update(one.reference);
        if (one.weight != 1) {
          stream.update(std::as_bytes(std::span(&one.weight, 1)));
        }
      }
    }
  }
  out_.digest = stream.value();
  if (training == 0) {
    std::vector<std::string> lines;
    for (const source_report& report : out_.reports) {
      lines.push_back(describe(report));
    }
    throw error(errc::bad_argument,
                "no example is left for phase {}: look at [length], [split] and the sets' phases\n  {}",
                to_string(wanted_), fmt::join(lines, "\n  "));
  }
  tell_shares(out_, job_);
  return std::move(out_);
}

}  // namespace

static phase_loader filled_loader(const job& job, phase wanted, const example_rules& rules,
                                  const std::string& made_pairs) {
  phase_loader loader(job, wanted, rules);
  for (const data_section& set : job.data) {
    set.format == data_format::experience ? loader.add_stored(set) : loader.add(set);
  }
  if (!made_pairs.empty()) {
    loader.add_made(made_pairs);
  }
  return loader;
}

phase_data load_phase_data(const job& job, phase wanted, const example_rules& rules, const std::string& made_pairs) {
  return filled_loader(job, wanted, rules, made_pairs).finish();
}

phase_data read_phase_data(const job& job, phase wanted, const example_rules& rules, const std::string& made_pairs) {
  return filled_loader(job, wanted, rules, made_pairs).read();
}

std::vector<blend_source> sources_of(const phase_data& data, const job& job) {
  std::vector<blend_source> sources;
  for (size_t s = 0; s < data.training.size(); ++s) {
    const double weight = s < job.data.size() ? job.data[s].weight : job.pairs.weight;
    sources.push_back({.size = static_cast<int64_t>(data.training[s].size()), .weight = weight});
  }
  return sources;
}

std::vector<left_out> left_out_of(const source_report& report) {
  const std::pair<const char*, int64_t> counts[] = {{too_long_reason, report.too_long},
                                                    {empty_reason, report.empty},
                                                    {lacking_reason, report.lacking},
                                                    {conflicting_reason, report.conflicting}};
  std::vector<left_out> all;
  for (const auto& [reason, count] : counts) {
    if (count > 0) {
      const auto lines = report.lines.find(reason);
      all.push_back({reason, count, lines == report.lines.end() ? std::vector<int64_t>() : lines->second});
    }
  }
  return all;
}

std::vector<std::pair<int64_t, const char*>> passed_over(const stored_counts& counts) {
  std::vector<std::pair<int64_t, const char*>> all = {{counts.duplicates, "answers equal to another of their prompt"},
                                                      {counts.unscorable, "answers without a reward"},
                                                      {counts.not_chosen, "answers not chosen"}};
  std::erase_if(all, [](const auto& one) { return one.first == 0; });
  return all;
}

std::string describe(const source_report& r) {
  std::string out = fmt::format("{}: {} records, {} kept", r.name, r.records, r.kept);
  if (r.held_out > 0) {
    out += fmt::format(", {} held out", r.held_out);
  }
  if (r.truncated > 0) {
    out += fmt::format(" ({} truncated)", r.truncated);
  }
  if (r.share > 0) {
    out += fmt::format(", {:.3g} % of an epoch", 100 * r.share);
  }
  const auto add = [&](int64_t count, const char* what) {
    if (count > 0) {
      out += fmt::format(", {} {}", count, what);
    }
  };
  add(r.other_use, "for other phases");
  for (const left_out& one : left_out_of(r)) {
    add(one.count, one.reason);
  }
  add(r.unusable, "that cannot be used");
  for (const auto& [count, what] : passed_over(r.stored)) {
    add(count, what);
  }
  if (r.rejected_tokens > 0) {
    out += fmt::format("; chosen answers have {:.1f} tokens on average, rejected ones {:.1f}", r.chosen_tokens,
                       r.rejected_tokens);
  }
  if (r.spelled > 0) {
    out += fmt::format("; {} special tokens that its messages spell out are taken for text", r.spelled);
  }
  for (const std::string& example : r.examples) {
    out += "\n  " + example;
  }
  return out;
}

}  // namespace troupe::io
