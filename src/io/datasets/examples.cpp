#include "io/datasets/examples.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/datasets/lines.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace troupe::io {

namespace {

enum class fit { whole, too_long, empty };

int64_t length_of(const std::vector<int32_t>& ids) { return static_cast<int64_t>(ids.size()); }

/// Builds one example; remembers whether anything was cut.
class example_maker {
public:
  example_maker(const record& from, const data_section& set, const example_rules& rules)
      : from_(from), set_(set), rules_(rules) {}

  fit put_prompt(std::vector<int32_t>& out) {
    const bool chat = !set_.chat_template.empty();
    out = chat ? std::vector<int32_t>() : rules_.start;
    std::vector<int32_t> ids;
    if (!from_.prompt.empty()) {
      ids = chat ? rules_.encode_chat(from_.prompt, true) : rules_.encode(from_.prompt, true);
    }
    const int64_t room = std::max<int64_t>(0, rules_.length.max_prompt_tokens - length_of(out));
    const int64_t excess = length_of(ids) - room;
    if (excess > 0 && rules_.length.too_long == too_long::drop) {
      return fit::too_long;
    }
    truncated_ = truncated_ || excess > 0;
    out.insert(out.end(), ids.begin() + std::max<int64_t>(excess, 0), ids.end());
    return fit::whole;
  }

  fit put_answer(const std::string& text, int64_t prompt_tokens, std::vector<int32_t>& out) {
    out = text.empty() ? std::vector<int32_t>() : rules_.encode(text, from_.prompt.empty());
    if (out.empty()) {
      return fit::empty;
    }
    if (set_.end_token && rules_.end) {
      out.push_back(*rules_.end);
    }
    const int64_t room = rules_.length.max_tokens - prompt_tokens;
    if (length_of(out) <= room) {
      return fit::whole;
    }
    if (rules_.length.too_long == too_long::drop || room <= 0) {
      return fit::too_long;
    }
    out.resize(static_cast<size_t>(room));
    truncated_ = true;
    return fit::whole;
  }

  bool truncated() const { return truncated_; }

private:
  const record& from_;
  const data_section& set_;
  const example_rules& rules_;
  bool truncated_ = false;
};

bool rollout_phase(phase wanted) { return wanted == phase::ppo || wanted == phase::pairs; }

fit fill_example(example_maker& make, const record& from, phase wanted, example& out) {
  fit result = make.put_prompt(out.prompt);
  if (result != fit::whole) {
    return result;
  }
  if (rollout_phase(wanted)) {
    out.reference = from.chosen;
    return out.prompt.empty() ? fit::empty : fit::whole;
  }
  result = make.put_answer(from.chosen, length_of(out.prompt), out.chosen);
  if (result != fit::whole || wanted == phase::sft) {
    return result;
  }
  result = make.put_answer(from.rejected, length_of(out.prompt), out.rejected);
  return result == fit::whole && out.chosen == out.rejected ? fit::empty : result;
}

}  // namespace

std::optional<example> make_example(const record& record, phase wanted, const data_section& set,
                                    const example_rules& rules, source_report& report) {
  const bool lacking = (wanted == phase::sft && !record.has_answer) || (wanted == phase::reward && !record.has_pair);
  if (lacking) {
    ++report.unusable;
    return std::nullopt;
  }
  example out;
  out.source = record.source;
  out.line = record.line;
  out.prompt_digest = record.prompt_digest;
  example_maker make(record, set, rules);
  switch (fill_example(make, record, wanted, out)) {
  case fit::too_long:
    ++report.too_long;
    return std::nullopt;
  case fit::empty:
    ++report.empty;
    return std::nullopt;
  default:
    break;
  }
  ++report.kept;
  report.truncated += make.truncated() ? 1 : 0;
  return out;
}

namespace {

class phase_loader {
public:
  phase_loader(const job& job, phase wanted, const example_rules& rules) : job_(job), wanted_(wanted), rules_(rules) {}

  void add(const data_section& set);
  phase_data finish();

private:
  enum class part { none, training, held_out };

  bool serves(const data_section& set) const {
    const auto phases = served_phases(set);
    return std::find(phases.begin(), phases.end(), wanted_) != phases.end();
  }

  part part_of(data_use use) const;
  void take(const record& from, const data_section& set, const split_shares& shares);

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
    const auto trains = [&](phase p) {
      return std::find(job_.pairs.phases.begin(), job_.pairs.phases.end(), p) != job_.pairs.phases.end();
    };
    const bool wanted = use == data_use::held_out || (use == data_use::sft && trains(phase::sft)) ||
                        (use == data_use::reward && trains(phase::reward));
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

void phase_loader::take(const record& from, const data_section& set, const split_shares& shares) {
  source_report& report = out_.reports.back();
  const data_use use = registry_.claim(from.prompt_digest, shares);
  if (!serves(set)) {
    return;  // read all the same: its claims hold against later sets in every phase
  }
  ++report.records;
  if (share_of(shares, use) <= 0) {
    ++report.conflicting;
    return;
  }
  const part where = part_of(use);
  if (where == part::none) {
    ++report.other_use;
    return;
  }
  std::optional<example> made = make_example(from, wanted_, set, rules_, report);
  if (made) {
    auto& list = where == part::training ? out_.training : out_.held_out;
    list.back().push_back(std::move(*made));
  }
}

void phase_loader::add(const data_section& set) {
  const auto source = static_cast<int64_t>(out_.source_names.size());
  out_.source_names.push_back(set.name);
  out_.training.emplace_back();
  out_.held_out.emplace_back();
  out_.reports.push_back({.name = set.name});
  const split_shares shares = shares_for(job_, set);
  line_reader lines(open_text(set.path), set.path);
  std::string line;
  for (int64_t read = 0; (set.limit == 0 || read < set.limit) && lines.next(line);) {
    if (line.find_first_not_of(" \t") == std::string::npos) {
      continue;
    }
    ++read;
    record from = read_record(line, set, fmt::format("{}, line {}", set.path, lines.line()));
    from.source = source;
    from.line = lines.line();
    take(from, set, shares);
  }
}

void fold(digest_stream& stream, const std::vector<int32_t>& ids) {
  const int64_t count = length_of(ids);
  stream.update(std::as_bytes(std::span(&count, 1)));
  stream.update(std::as_bytes(std::span(ids)));
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
  return std::move(out_);
}

}  // namespace

phase_data load_phase_data(const job& job, phase wanted, const example_rules& rules, const std::string& made_pairs) {
  phase_loader loader(job, wanted, rules);
  for (const data_section& set : job.data) {
    loader.add(set);
  }
  if (!made_pairs.empty()) {
    data_section set;
    set.name = "pairs";
    set.path = made_pairs;
    set.format = data_format::pairs;
    set.phases = job.pairs.phases;
    loader.add(set);
  }
  return loader.finish();
}

std::string describe(const source_report& r) {
  std::string out = fmt::format("{}: {} records, {} kept", r.name, r.records, r.kept);
  if (r.truncated > 0) {
    out += fmt::format(" ({} truncated)", r.truncated);
  }
  const auto add = [&](int64_t count, const char* what) {
    if (count > 0) {
      out += fmt::format(", {} {}", count, what);
    }
  };
  add(r.other_use, "for other phases or held out");
  add(r.too_long, "too long");
  add(r.empty, "empty or equal");
  add(r.unusable, "without the answer or pair needed");
  add(r.conflicting, "claimed by another set");
  return out;
}

}  // namespace troupe::io
