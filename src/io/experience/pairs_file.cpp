#include "io/experience/pairs_file.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/files/atomic_file.hpp"
#include "io/files/paths.hpp"
#include "io/json/json.hpp"

#include <charconv>
#include <fstream>
#include <iterator>

namespace troupe::io {

static std::filesystem::path part_file(const run_directory& run, int64_t iteration) {
  return run.root() / "pairs" / fmt::format("part-{:06}.jsonl", iteration);
}

std::filesystem::path pairs_file(const run_directory& run) { return run.root() / "pairs" / "pairs.jsonl"; }

static void write_behind(const attempt_fence& fence, const std::filesystem::path& target, const std::string& text) {
  atomic_file file(target, fence.workplace(target));
  file.write(text);
  fence.require();
  file.commit();
}

static std::string line_of(const made_pair& pair) {
  nlohmann::ordered_json line;
  line["prompt"] = pair.prompt;
  line["chosen"] = pair.chosen;
  line["rejected"] = pair.rejected;
  line["chosen_reward"] = pair.chosen_reward;
  line["rejected_reward"] = pair.rejected_reward;
  line["prompt_digest"] = digest_text(pair.prompt_digest);
  line["prompt_ids"] = pair.prompt_ids;
  line["chosen_ids"] = pair.chosen_ids;
  line["rejected_ids"] = pair.rejected_ids;
  return line.dump() + "\n";
}

static uint64_t digest_from(const std::string& text) {
  uint64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.size() != 16 || read.ptr != text.data() + text.size()) {
    throw error(errc::bad_file, "\"{}\" is not a digest of 16 digits", text);
  }
  return value;
}

static made_pair pair_of(const nlohmann::json& line) {
  return {.prompt_digest = digest_from(line.at("prompt_digest").get<std::string>()),
          .prompt_ids = line.at("prompt_ids").get<std::vector<int32_t>>(),
          .chosen_ids = line.at("chosen_ids").get<std::vector<int32_t>>(),
          .rejected_ids = line.at("rejected_ids").get<std::vector<int32_t>>(),
          .prompt = line.at("prompt").get<std::string>(),
          .chosen = line.at("chosen").get<std::string>(),
          .rejected = line.at("rejected").get<std::string>(),
          .chosen_reward = line.at("chosen_reward").get<double>(),
          .rejected_reward = line.at("rejected_reward").get<double>()};
}

void write_pairs_part(const run_directory& run, int64_t iteration, std::span<const made_pair> pairs,
                      const attempt_fence& fence) {
  std::string text;
  for (const made_pair& pair : pairs) {
    text += line_of(pair);
  }
  make_folder(run.root() / "pairs");
  write_behind(fence, part_file(run, iteration), text);
}

int64_t count_pairs_parts(const run_directory& run) {
  int64_t parts = 0;
  while (is_there(part_file(run, parts))) {
    ++parts;
  }
  return parts;
}

void join_pairs_parts(const run_directory& run, int64_t parts, const attempt_fence& fence) {
  std::string text;
  for (int64_t i = 0; i < parts; ++i) {
    std::ifstream file(part_file(run, i), std::ios::binary);
    if (!file) {
      throw error(errc::not_found, "{}: this part of the preference pairs is missing", part_file(run, i).string());
    }
    text.append(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  write_behind(fence, pairs_file(run), text);
}

std::vector<made_pair> read_pairs(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw error(errc::not_found, "{}: there is no such file of preference pairs", path.string());
  }
  std::vector<made_pair> pairs;
  for (std::string line; std::getline(file, line);) {
    const std::string where = fmt::format("{}, line {}", path.string(), pairs.size() + 1);
    try {
      pairs.push_back(pair_of(parse_json(line, where)));
    } catch (const nlohmann::json::exception& e) {
      throw error(errc::bad_file,
                  "{}: is not a pair that this version of Troupe made ({}): remove {} and the checkpoints of the "
                  "phases after it, and it is made anew",
                  where, e.what(), path.parent_path().string());
    }
  }
  return pairs;
}

}  // namespace troupe::io
