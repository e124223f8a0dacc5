#include "io/experience/pairs_file.hpp"

#include "base/error.hpp"
#include "io/files/atomic_file.hpp"

#include <nlohmann/json.hpp>

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

void write_pairs_part(const run_directory& run, int64_t iteration, std::span<const preference_text> pairs,
                      const attempt_fence& fence) {
  std::string text;
  for (const preference_text& pair : pairs) {
    nlohmann::ordered_json line;
    line["prompt"] = pair.prompt;
    line["chosen"] = pair.chosen;
    line["rejected"] = pair.rejected;
    line["chosen_reward"] = pair.chosen_reward;
    line["rejected_reward"] = pair.rejected_reward;
    text += line.dump() + "\n";
  }
  std::filesystem::create_directories(run.root() / "pairs");
  write_behind(fence, part_file(run, iteration), text);
}

int64_t count_pairs_parts(const run_directory& run) {
  int64_t parts = 0;
  while (std::filesystem::exists(part_file(run, parts))) {
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

}  // namespace troupe::io
