#include "jobs/experience_diff.hpp"

#include "io/json/jsonl_filter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <span>

namespace troupe {

namespace {

template <class T> bool same_bits(std::span<const T> a, std::span<const T> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

std::span<const float> raw_of(const io::experience& e, int64_t b) {
  const size_t sources = e.reward_names.size();
  return std::span(e.reward_raw_BS).subspan(static_cast<size_t>(b) * sources, sources);
}

/// What differs between two sequences.
std::vector<const char*> differing(const io::experience& here, int64_t b, const io::experience& there, int64_t c) {
  std::vector<const char*> names;
  const auto note = [&](const char* name, bool same) {
    if (!same) {
      names.push_back(name);
    }
  };
  note("prompt", same_bits(here.prompt_tokens(b), there.prompt_tokens(c)));
  note("answer", same_bits(here.answer_tokens(b), there.answer_tokens(c)));
  note("logprob_old", same_bits(here.of_answer(here.logprob_old_A, b), there.of_answer(there.logprob_old_A, c)));
  note("logprob_ref", same_bits(here.of_answer(here.logprob_ref_A, b), there.of_answer(there.logprob_ref_A, c)));
  note("value", same_bits(here.of_answer(here.value_A, b), there.of_answer(there.value_A, c)));
  note("reward_raw", same_bits(raw_of(here, b), raw_of(there, c)));
  note("reward_shaped", same_bits(here.of_answer(here.reward_shaped_A, b), there.of_answer(there.reward_shaped_A, c)));
  note("advantage", same_bits(here.of_answer(here.advantage_A, b), there.of_answer(there.advantage_A, c)));
  return names;
}

struct same_sequence {
  int64_t here = 0, there = 0;
};

std::vector<same_sequence> in_both(const io::experience& here, const io::experience& there) {
  std::vector<same_sequence> both;
  for (int64_t b = 0, c = 0; b < here.sequences() && c < there.sequences();) {
    const uint64_t id = here.sequence_id_B[static_cast<size_t>(b)];
    const uint64_t other = there.sequence_id_B[static_cast<size_t>(c)];
    if (id == other) {
      both.push_back({b, c});
    }
    b += id <= other ? 1 : 0;
    c += other <= id ? 1 : 0;
  }
  return both;
}

/// Adds the first sequences that differ, as long as `left` lasts.
void show_differing(const io::experience& here, const io::experience& there, int64_t& left,
                    const show_settings& settings, std::string& shown) {
  for (const same_sequence& s : in_both(here, there)) {
    if (left > 0 && !differing(here, s.here, there, s.there).empty()) {
      --left;
      shown +=
          fmt::format("iteration {}, sequence {}\n", here.iteration, here.sequence_id_B[static_cast<size_t>(s.here)]) +
          side_by_side({{&here, s.here, "here"}, {&there, s.there, "there"}}, settings);
    }
  }
}

std::map<int64_t, std::filesystem::path> by_iteration(const experience_request& request) {
  std::map<int64_t, std::filesystem::path> files;
  for (const listed_file& file : files_asked_for(request)) {
    files[file.summary.iteration] = file.path;
  }
  return files;
}

std::string pair_text(double here, double there) {
  const auto number = [](double value) { return std::isfinite(value) ? fmt::format("{:.4f}", value) : "-"; };
  return here == there || (std::isnan(here) && std::isnan(there)) ? number(here) : number(here) + " | " + number(there);
}

std::string what_differs(const iteration_difference& d) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  for (const auto& [name, sequences] : d.differ) {
    add(fmt::format("{} in {}", name, sequences));
  }
  if (d.only_here > 0) {
    add(fmt::format("{} only here", d.only_here));
  }
  if (d.only_there > 0) {
    add(fmt::format("{} only there", d.only_there));
  }
  return text.empty() ? "same" : text;
}

}  // namespace

iteration_difference compare(const io::experience& here, const io::experience& there) {
  iteration_difference d{.iteration = here.iteration, .here = io::summary_of(here), .there = io::summary_of(there)};
  std::map<std::string, int64_t> counts;
  for (const same_sequence& s : in_both(here, there)) {
    ++d.both;
    for (const char* name : differing(here, s.here, there, s.there)) {
      ++counts[name];
      d.first = d.first.value_or(here.sequence_id_B[static_cast<size_t>(s.here)]);
    }
  }
  d.only_here = here.sequences() - d.both;
  d.only_there = there.sequences() - d.both;
  d.differ.assign(counts.begin(), counts.end());
  return d;
}

bool experience_difference::same() const {
  return only_here.empty() && only_there.empty() &&
         std::all_of(iterations.begin(), iterations.end(), [](const auto& d) { return d.same(); });
}

bool experience_difference::empty() const {
  return only_here.empty() && only_there.empty() &&
         std::all_of(iterations.begin(), iterations.end(),
                     [](const auto& d) { return d.both + d.only_here + d.only_there == 0; });
}

experience_difference compare(const experience_request& here, const experience_request& there, int64_t show,
                              const show_settings& settings, std::string& shown) {
  experience_difference out;
  const auto ours = by_iteration(here);
  const auto theirs = by_iteration(there);
  for (const auto& [iteration, path] : ours) {
    const auto other = theirs.find(iteration);
    if (other == theirs.end()) {
      out.only_here.push_back(iteration);
      continue;
    }
    const io::experience a = read_passing(path, here.filter);
    const io::experience b = read_passing(other->second, there.filter);
    out.iterations.push_back(compare(a, b));
    show_differing(a, b, show, settings, shown);
  }
  for (const auto& [iteration, path] : theirs) {
    if (!ours.contains(iteration)) {
      out.only_there.push_back(iteration);
    }
  }
  return out;
}

std::string difference_text(const experience_difference& difference) {
  std::string text =
      fmt::format("{:>9}  {:<22} {:<22} {:<22} {}\n", "iteration", "reward", "length", "KL", "sequences");
  for (const iteration_difference& d : difference.iterations) {
    text +=
        fmt::format("{:>9}  {:<22} {:<22} {:<22} {}\n", d.iteration, pair_text(d.here.reward_mean, d.there.reward_mean),
                    pair_text(d.here.length_mean(), d.there.length_mean()),
                    pair_text(d.here.kl_per_sequence_nats, d.there.kl_per_sequence_nats), what_differs(d));
  }
  if (!difference.only_here.empty()) {
    text += fmt::format("iterations only here: {}\n", fmt::join(difference.only_here, " "));
  }
  if (!difference.only_there.empty()) {
    text += fmt::format("iterations only there: {}\n", fmt::join(difference.only_there, " "));
  }
  return text + (difference.same() ? "no difference\n" : "");
}

std::string difference_json(const experience_difference& difference) {
  const auto finite = [](double value) { return std::isfinite(value) ? io::json_line(value) : io::json_line(); };
  io::json_line iterations = io::json_line::array();
  for (const iteration_difference& d : difference.iterations) {
    io::json_line differ = io::json_line::object();
    for (const auto& [name, sequences] : d.differ) {
      differ[name] = sequences;
    }
    iterations.push_back(
        {{"iteration", d.iteration},
         {"same", d.same()},
         {"both", d.both},
         {"only_here", d.only_here},
         {"only_there", d.only_there},
         {"differ", std::move(differ)},
         {"first_difference", d.first ? io::json_line(*d.first) : io::json_line()},
         {"reward_mean", {finite(d.here.reward_mean), finite(d.there.reward_mean)}},
         {"length_mean", {finite(d.here.length_mean()), finite(d.there.length_mean())}},
         {"kl_per_sequence_nats", {finite(d.here.kl_per_sequence_nats), finite(d.there.kl_per_sequence_nats)}}});
  }
  return io::json_line_text({{"same", difference.same()},
                             {"iterations", std::move(iterations)},
                             {"only_here", difference.only_here},
                             {"only_there", difference.only_there}});
}

}  // namespace troupe
