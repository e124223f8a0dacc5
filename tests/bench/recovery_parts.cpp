// Two parts of a recovery that docs/scaling.md reckons with, one JSON line each:
//
//   recovery_parts load MODEL [TURNS]          a rank loads a model: seconds and bytes of its arena, the fastest turn
//   recovery_parts commit FOLDER RANKS LAYERS  rank 0 commits a checkpoint that so many ranks wrote: a policy and a
//                                              critic of so many layers, with moments and the policy's average, cut
//                                              as the ranks' shards are
//
// Weights of `commit` are a few numbers each: what is timed is the number of files and arrays, not their bytes.
#include "actors/models/model_files.hpp"
#include "io/checkpoint/checkpoint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace {

using namespace troupe;  // NOLINT(google-build-using-namespace)

template <class Work> double seconds_of(const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void time_load(const std::string& model, int turns) {
  double fastest = 1e9;
  int64_t values = 0;
  for (int turn = 0; turn < turns; ++turn) {
    fastest = std::min(fastest, seconds_of([&] {
                         const auto loaded = actors::load_model(model, actors::head_kind::language_model);
                         values = loaded->net.layout().parameter_count();
                       }));
  }
  const double bytes = 4.0 * static_cast<double>(values);
  fmt::print("{{\"what\": \"load\", \"bytes\": {:.0f}, \"seconds\": {:.3f}, \"gb_per_s\": {:.2f}}}\n", bytes, fastest,
             bytes / fastest / 1e9);
}

/// The parameters of a Llama's layer as shares of its size: norms, queries,
/// keys, values, output, three of the feed-forward.
constexpr int64_t shares[] = {1, 16, 2, 2, 16, 1, 50, 50, 50};

/// What a rank holds of one layer, of which every rank has an equal range.
void add_layer(std::vector<io::checkpoint_array>& arrays, const std::string& layer, int64_t rank, int64_t ranks,
               std::span<const float> values) {
  int64_t total = 0;
  for (const int64_t share : shares) {
    total += share * ranks;
  }
  const int64_t first = total * rank / ranks;
  const int64_t last = total * (rank + 1) / ranks;
  int64_t begin = 0;
  for (size_t p = 0; p < std::size(shares); ++p) {
    const int64_t end = begin + shares[p] * ranks;
    const int64_t from = std::max(begin, first);
    const int64_t to = std::min(end, last);
    if (from < to) {
      arrays.push_back({.name = fmt::format("{}.{}", layer, p),
                        .shape = {ranks, shares[p]},
                        .begin = from - begin,
                        .end = to - begin,
                        .values = values.first(static_cast<size_t>(to - from)),
                        .fill = {}});
    }
    begin = end;
  }
}

io::checkpoint_content content_of(int64_t rank, int64_t ranks, int64_t layers, std::span<const float> values) {
  io::checkpoint_content content;
  for (const char* kind : {"policy/weights", "policy/first_moment", "policy/second_moment", "policy/average",
                           "critic/weights", "critic/first_moment", "critic/second_moment"}) {
    for (int64_t layer = 0; layer < layers; ++layer) {
      add_layer(content.arrays, fmt::format("{}/layers.{}", kind, layer), rank, ranks, values);
    }
  }
  return content;
}

void time_commit(const std::filesystem::path& folder, int64_t ranks, int64_t layers) {
  std::filesystem::create_directories(folder);
  const std::vector<float> values(1024, 1.0F);
  io::checkpoint_manifest manifest{.attempt = 1,
                                   .phase = "ppo",
                                   .unit = "iteration",
                                   .counter = 1,
                                   .ranks = static_cast<int>(ranks),
                                   .counters = {},
                                   .digests = {},
                                   .files = {}};
  int64_t pieces = 0;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    const io::checkpoint_content content = content_of(rank, ranks, layers, values);
    pieces += static_cast<int64_t>(content.arrays.size());
    manifest.files.push_back(
        io::write_checkpoint(folder, content, static_cast<int>(rank), static_cast<int>(ranks), [] {}));
  }
  const double seconds = seconds_of([&] { io::commit_checkpoint(folder, manifest, [] {}); });
  fmt::print("{{\"what\": \"commit\", \"ranks\": {}, \"layers\": {}, \"pieces\": {}, \"seconds\": {:.3f}, "
             "\"us_per_piece\": {:.0f}}}\n",
             ranks, layers, pieces, seconds, 1e6 * seconds / static_cast<double>(pieces));
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "load" && argc > 2) {
    time_load(argv[2], argc > 3 ? std::stoi(argv[3]) : 3);
  } else if (what == "commit" && argc == 5) {
    time_commit(argv[2], std::stoll(argv[3]), std::stoll(argv[4]));
  } else {
    fmt::print(stderr, "usage: recovery_parts load MODEL [TURNS] | commit FOLDER RANKS LAYERS\n");
    return 2;
  }
}
