#include "jobs/experience_show.hpp"

#include "base/printable.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace troupe {

namespace {

constexpr int64_t narrowest = 28;  // a column

std::string number(double value) { return std::isnan(value) ? "none" : fmt::format("{:.4g}", value); }

std::string text_of(const std::vector<std::string>& texts_B, std::span<const int32_t> ids, int64_t b,
                    const show_settings& settings) {
  if (!texts_B.empty()) {
    return printable(texts_B[static_cast<size_t>(b)]);
  }
  if (settings.tokens != nullptr) {
    return printable(settings.tokens->decode(ids, true));
  }
  return fmt::format("ids {}", fmt::join(ids, " "));
}

std::string answer_of(const shown_answer& a, const show_settings& settings) {
  return text_of(a.e->answer_text_B, a.e->answer_tokens(a.b), a.b, settings);
}

/// Where the character at `at` of valid UTF-8 ends.
size_t character_end(const std::string& text, size_t at) {
  ++at;
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) {
    ++at;
  }
  return at;
}

struct line {
  std::string text;
  int64_t width = 0;  ///< characters
};

/// Lines of at most `width` characters, broken at spaces where there are any.
std::vector<line> wrapped(const std::string& text, int64_t width) {
  std::vector<line> lines(1);
  size_t space = std::string::npos;  // the last one of the line, in bytes
  for (size_t at = 0; at < text.size();) {
    const size_t end = character_end(text, at);
    if (text[at] == '\n') {
      lines.emplace_back();
      space = std::string::npos;
      at = end;
      continue;
    }
    if (lines.back().width == width) {
      line next;
      if (space != std::string::npos) {
        next.text = lines.back().text.substr(space + 1);
        lines.back().text.resize(space);
        next.width = std::count_if(next.text.begin(), next.text.end(),
                                   [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
        lines.back().width -= next.width + 1;
      }
      lines.push_back(std::move(next));
      space = std::string::npos;
    }
    if (text[at] == ' ' || text[at] == '\t') {
      space = lines.back().text.size();
    }
    lines.back().text += text[at] == '\t' ? " " : text.substr(at, end - at);
    ++lines.back().width;
    at = end;
  }
  return lines;
}

std::string head_of(const shown_answer& a) {
  const io::experience& e = *a.e;
  const auto b = static_cast<size_t>(a.b);
  std::string head = a.name;
  if (!e.reward_names.empty()) {
    head += fmt::format("  reward {}", number(static_cast<double>(e.score(a.b))));
  }
  head += fmt::format("  {} tokens{}", e.answer_tokens(a.b).size(), e.finished_B[b] != 0 ? "" : ", cut");
  const size_t sources = e.reward_names.size();
  for (size_t s = 0; s < sources && sources > 1; ++s) {
    head += fmt::format("\n{} {}", printable(e.reward_names[s]),
                        number(static_cast<double>(e.reward_raw_BS[b * sources + s])));
  }
  return head;
}

std::string columns(const std::vector<std::vector<line>>& cells, int64_t width) {
  size_t most = 0;
  for (const auto& cell : cells) {
    most = std::max(most, cell.size());
  }
  std::string text;
  for (size_t row = 0; row < most; ++row) {
    std::string whole = " ";
    for (const auto& cell : cells) {
      const line part = row < cell.size() ? cell[row] : line{};
      whole += " " + part.text + std::string(static_cast<size_t>(std::max<int64_t>(0, width - part.width)), ' ') + " ";
    }
    whole.erase(whole.find_last_not_of(' ') + 1);
    text += whole + "\n";
  }
  return text;
}

std::string token_table(const shown_answer& a, const show_settings& settings) {
  const io::experience& e = *a.e;
  struct column {
    const char* name;
    std::span<const float> values;
  };
  std::vector<column> numbers;
  for (const auto& [name, values] :
       {std::pair("log p", &e.logprob_old_A), std::pair("ref", &e.logprob_ref_A), std::pair("value", &e.value_A),
        std::pair("reward", &e.reward_shaped_A), std::pair("advantage", &e.advantage_A)}) {
    if (!values->empty()) {
      numbers.push_back({name, e.of_answer(*values, a.b)});
    }
  }
  std::string text = fmt::format("  {}\n  {:>7} ", a.name, "id");
  for (const column& c : numbers) {
    text += fmt::format(" {:>10}", c.name);
  }
  text += settings.tokens != nullptr ? "  token\n" : "\n";
  const auto ids = e.answer_tokens(a.b);
  for (size_t t = 0; t < ids.size(); ++t) {
    text += fmt::format("  {:>7} ", ids[t]);
    for (const column& c : numbers) {
      text += fmt::format(" {:>10.4f}", c.values[t]);
    }
    if (settings.tokens != nullptr) {
      std::string spelled = printable(settings.tokens->decode(ids.subspan(t, 1), false));
      std::replace(spelled.begin(), spelled.end(), '\n', ' ');
      text += fmt::format("  \"{}\"", spelled);
    }
    text += "\n";
  }
  return text;
}

}  // namespace

std::vector<std::vector<int64_t>> groups_of(const io::experience& e) {
  std::map<uint64_t, size_t> place;
  std::vector<std::vector<int64_t>> groups;
  for (int64_t b = 0; b < e.sequences(); ++b) {
    const auto [found, is_new] = place.try_emplace(e.group_B[static_cast<size_t>(b)], groups.size());
    if (is_new) {
      groups.emplace_back();
    }
    groups[found->second].push_back(b);
  }
  return groups;
}

std::string side_by_side(const std::vector<shown_answer>& answers, const show_settings& settings) {
  const shown_answer& first = answers.front();
  const std::string prompt = text_of(first.e->prompt_text_B, first.e->prompt_tokens(first.b), first.b, settings);
  std::string text;
  for (const line& part : wrapped(prompt, settings.width - 2)) {
    text += "  " + part.text + "\n";
  }
  const int64_t across = std::clamp<int64_t>(settings.width / (narrowest + 2), 1, static_cast<int64_t>(answers.size()));
  const int64_t width = settings.width / across - 2;
  for (size_t begin = 0; begin < answers.size(); begin += static_cast<size_t>(across)) {
    std::vector<std::vector<line>> cells;
    for (size_t i = begin; i < std::min(answers.size(), begin + static_cast<size_t>(across)); ++i) {
      cells.push_back(wrapped(head_of(answers[i]) + "\n" + answer_of(answers[i], settings), width));
    }
    text += columns(cells, width);
  }
  for (const shown_answer& a : answers) {
    text += settings.every_token ? token_table(a, settings) : "";
  }
  return text;
}

std::string group_text(const io::experience& e, const std::vector<int64_t>& group, const show_settings& settings) {
  std::vector<shown_answer> answers;
  for (const int64_t b : group) {
    answers.push_back({&e, b, fmt::format("#{}", answers.size())});
  }
  const auto b = static_cast<size_t>(group.front());
  return fmt::format("iteration {}, group {}, {}\n", e.iteration, e.group_B[b],
                     printable(e.source_names.at(e.source_B[b]))) +
         side_by_side(answers, settings);
}

}  // namespace troupe
