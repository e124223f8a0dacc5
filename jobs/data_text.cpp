#include "jobs/data_text.hpp"

#include "base/printable.hpp"
#include "jobs/lengths.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>

namespace troupe {

namespace {

constexpr const char* green = "\x1b[32m";
constexpr const char* plain = "\x1b[0m";

/// A piece of a rendered example: from it is learned, or not.
struct segment {
  std::string text;
  bool learned = false;
};

/// How a special token is shown that has no text of its own, as SentencePiece's have none: "</s>".
std::string name_of(const io::tokenizer& tokens, int32_t id) {
  for (const auto& [use, text] : tokens.special_texts()) {
    if (tokens.find(text) == id) {
      return text;
    }
  }
  return fmt::format("<{}>", id);
}

/// Text of ids [first, last) of `all`: what they add to the text before them.
std::string text_after(const io::tokenizer& tokens, const std::vector<int32_t>& all, size_t first, size_t last) {
  const auto text_of = [&](size_t from, size_t to) {
    return tokens.decode({all.begin() + static_cast<int64_t>(from), all.begin() + static_cast<int64_t>(to)}, false);
  };
  const auto without_text = [&](size_t at) { return tokens.is_special(all[at]) && text_of(at, at + 1).empty(); };
  std::string before;
  std::string after;
  for (; first < last && without_text(first); ++first) {
    before += name_of(tokens, all[first]);
  }
  for (; first < last && without_text(last - 1); --last) {
    after.insert(0, name_of(tokens, all[last - 1]));
  }
  const std::string earlier = text_of(0, first);
  const std::string text = text_of(0, last);
  return before + (text.starts_with(earlier) ? text.substr(earlier.size()) : text_of(first, last)) + after;
}

std::vector<segment> segments_of(const io::job& job, const io::tokenizer& tokens, io::phase phase,
                                 const io::example& one, const std::vector<int32_t>& answer) {
  std::vector<int32_t> all = one.prompt;
  all.insert(all.end(), answer.begin(), answer.end());
  const learned_span learned = learned_tokens(job, phase, one, answer);
  std::vector<segment> segments;
  const auto add = [&](size_t first, size_t last, bool is_learned) {
    if (first < last) {
      segments.push_back({text_after(tokens, all, first, last), is_learned});
    }
  };
  add(0, learned.first, false);
  add(learned.first, learned.last, true);
  add(learned.last, all.size(), false);
  return segments;
}

std::string rendered(const std::vector<segment>& segments, const data_view& view) {
  std::string text;
  for (const segment& piece : segments) {
    const std::string shown = printable(piece.text);
    text += !piece.learned ? shown : view.colour ? green + shown + plain : "[[" + shown + "]]";
  }
  return text;
}

/// Each line begins with `margin`.
std::string indented(std::string_view text, const std::string& margin) {
  std::string out;
  while (true) {
    const size_t end = text.find('\n');
    out += margin + std::string(text.substr(0, end)) + "\n";
    if (end == std::string_view::npos) {
      return out;
    }
    text.remove_prefix(end + 1);
  }
}

struct named_lengths {
  const char* name;
  std::vector<int64_t> tokens;
};

std::vector<named_lengths> lengths_of(const source_survey& source) {
  std::vector<named_lengths> all = {{"prompt", {}}, {"answer", {}}, {"rejected", {}}};
  for (const auto* examples : {&source.training, &source.held_out}) {
    for (const io::example& one : *examples) {
      all[0].tokens.push_back(static_cast<int64_t>(one.prompt.size()));
      all[1].tokens.push_back(static_cast<int64_t>(one.chosen.size()));
      all[2].tokens.push_back(static_cast<int64_t>(one.rejected.size()));
    }
  }
  std::erase_if(all, [](const named_lengths& one) {
    return std::all_of(one.tokens.begin(), one.tokens.end(), [](int64_t length) { return length == 0; });
  });
  return all;
}

std::string lengths_text(const named_lengths& of) {
  constexpr int64_t longest_bar = 40;
  const auto [least, most] = std::minmax_element(of.tokens.begin(), of.tokens.end());
  std::string text = fmt::format("    {} tokens: {} to {}, median {}\n", of.name, *least, *most, median_of(of.tokens));
  const std::vector<length_bin> bins = histogram(of.tokens);
  int64_t highest = 1;
  for (const length_bin& bin : bins) {
    highest = std::max(highest, bin.count);
  }
  for (const length_bin& bin : bins) {
    const int64_t bar = (bin.count * longest_bar + highest - 1) / highest;
    const std::string range =
        bin.low == bin.high ? fmt::format("{}", bin.low) : fmt::format("{} to {}", bin.low, bin.high);
    text += fmt::format("      {:<16} {:>7} {}\n", range, bin.count, std::string(static_cast<size_t>(bar), '#'));
  }
  return text;
}

/// Of a set of stored experience.
std::string stored_text(const io::stored_counts& stored) {
  std::string text = stored.answers > 0 ? fmt::format("    of {} stored answers\n", stored.answers) : "";
  for (const auto& [count, what] : io::passed_over(stored)) {
    text += fmt::format("      {} {}\n", count, what);
  }
  return text;
}

std::string counts_text(const source_survey& source) {
  const io::source_report& r = source.report;
  const auto held_out = static_cast<int64_t>(source.held_out.size());
  std::string text = fmt::format("  data.{} ({}): {} records\n    {} to learn from, {} held out", source.name,
                                 source.format, r.records, source.training.size(), held_out);
  text += r.truncated > 0 ? fmt::format(" ({} of them cut to length)", r.truncated) : "";
  const int64_t elsewhere = r.records - static_cast<int64_t>(source.training.size()) - held_out - r.too_long - r.empty -
                            r.lacking - r.conflicting - r.unusable;
  text += elsewhere > 0 ? fmt::format(", {} for other phases\n", elsewhere) : "\n";
  text += stored_text(r.stored);
  for (const io::left_out& one : io::left_out_of(r)) {
    text += fmt::format("    left out: {} {} (line{} {}{})\n", one.count, one.reason, one.count > 1 ? "s" : "",
                        fmt::join(one.lines, ", "), one.count > static_cast<int64_t>(one.lines.size()) ? " ..." : "");
  }
  if (r.unusable > 0) {
    text += fmt::format("    left out: {} that cannot be used\n", r.unusable);
    for (const std::string& example : r.examples) {
      text += indented(printable(example), "      ");
    }
  }
  return text;
}

std::string examples_text(const io::job& job, const data_survey& survey, const data_view& view, io::phase phase,
                          const source_survey& source) {
  std::string text;
  const auto count = std::min<size_t>(static_cast<size_t>(view.examples), source.training.size());
  for (size_t i = 0; i < count; ++i) {
    const io::example& one = source.training[i];
    text += fmt::format("    line {}:\n", one.line);
    text += indented(rendered(segments_of(job, *survey.tokens, phase, one, one.chosen), view), "      | ");
    if (!one.rejected.empty()) {
      text += "      rejected:\n";
      text += indented(rendered(segments_of(job, *survey.tokens, phase, one, one.rejected), view), "      | ");
    }
    if (!one.reference.empty()) {
      text += "      right answer:\n" + indented(printable(one.reference), "      | ");
    }
  }
  return text;
}

nlohmann::ordered_json segments_json(const std::vector<segment>& segments) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const segment& piece : segments) {
    all.push_back({{"text", piece.text}, {"learned", piece.learned}});
  }
  return all;
}

nlohmann::ordered_json source_json(const io::job& job, const data_survey& survey, const data_view& view,
                                   io::phase phase, const source_survey& source) {
  nlohmann::ordered_json out = {{"name", source.name},
                                {"format", source.format},
                                {"records", source.report.records},
                                {"training", source.training.size()},
                                {"held_out", source.held_out.size()},
                                {"truncated", source.report.truncated},
                                {"unusable", source.report.unusable},
                                {"left_out", nlohmann::ordered_json::array()},
                                {"tokens", nlohmann::ordered_json::object()},
                                {"examples", nlohmann::ordered_json::array()}};
  for (const io::left_out& one : io::left_out_of(source.report)) {
    out["left_out"].push_back({{"reason", one.reason}, {"count", one.count}, {"lines", one.lines}});
  }
  if (const io::stored_counts& stored = source.report.stored; stored.answers > 0) {
    out["stored"] = {{"answers", stored.answers},
                     {"duplicates", stored.duplicates},
                     {"unscorable", stored.unscorable},
                     {"not_chosen", stored.not_chosen}};
  }
  for (const named_lengths& lengths : lengths_of(source)) {
    nlohmann::ordered_json bins = nlohmann::ordered_json::array();
    for (const length_bin& bin : histogram(lengths.tokens)) {
      bins.push_back({{"low", bin.low}, {"high", bin.high}, {"count", bin.count}});
    }
    out["tokens"][lengths.name] = {{"median", median_of(lengths.tokens)}, {"histogram", bins}};
  }
  const auto count = std::min<size_t>(static_cast<size_t>(view.examples), source.training.size());
  for (const io::example& one : std::span(source.training).first(count)) {
    nlohmann::ordered_json example = {
        {"line", one.line}, {"chosen", segments_json(segments_of(job, *survey.tokens, phase, one, one.chosen))}};
    if (!one.rejected.empty()) {
      example["rejected"] = segments_json(segments_of(job, *survey.tokens, phase, one, one.rejected));
    }
    if (!one.reference.empty()) {
      example["reference"] = one.reference;
    }
    out["examples"].push_back(std::move(example));
  }
  return out;
}

}  // namespace

std::string data_text(const io::job& job, const data_survey& survey, const data_view& view) {
  std::string text;
  for (const phase_survey& phase : survey.phases) {
    text += fmt::format("phase {}: {} examples to learn from, {} held out\n", io::to_string(phase.phase),
                        phase.training(), phase.held_out());
    text += phase.made_later ? "  (and the pairs that phase pairs will make)\n" : "";
    for (const source_survey& source : phase.sources) {
      text += counts_text(source);
      for (const named_lengths& lengths : lengths_of(source)) {
        text += lengths_text(lengths);
      }
      text += examples_text(job, survey, view, phase.phase, source);
    }
  }
  return text;
}

nlohmann::ordered_json data_json(const io::job& job, const data_survey& survey, const data_view& view,
                                 const std::vector<std::string>& warnings) {
  nlohmann::ordered_json phases = nlohmann::ordered_json::array();
  for (const phase_survey& phase : survey.phases) {
    nlohmann::ordered_json sources = nlohmann::ordered_json::array();
    for (const source_survey& source : phase.sources) {
      sources.push_back(source_json(job, survey, view, phase.phase, source));
    }
    phases.push_back({{"phase", io::to_string(phase.phase)},
                      {"training", phase.training()},
                      {"held_out", phase.held_out()},
                      {"pairs_made_later", phase.made_later},
                      {"sources", sources}});
  }
  return {{"phases", phases}, {"warnings", warnings}};
}

}  // namespace troupe
