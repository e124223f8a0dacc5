#include "actors/cast/mixing.hpp"

#include "actors/protocol/error_replies.hpp"
#include "base/error.hpp"
#include "base/random.hpp"
#include "io/experience/summary.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <exception>
#include <map>
#include <string>
#include <type_traits>
#include <utility>

namespace troupe::actors {

int64_t mixed_beside(int64_t fresh, double share, int64_t stored) {
  const double wanted = std::round(static_cast<double>(fresh) * share / (1 - share));
  return wanted < static_cast<double>(stored) ? static_cast<int64_t>(wanted) : stored;
}

std::vector<int64_t> choose_stored(uint64_t seed, uint64_t iteration, int64_t stored, int64_t wanted) {
  const random_key key{.seed = seed, .stream = iteration, .purpose = random_purpose::stored_choice};
  std::vector<int64_t> chosen = random_permutation(key, stored);
  chosen.resize(static_cast<size_t>(wanted));
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

namespace {

/// Which answers of which file.
using places_by_file = std::map<std::string, std::vector<size_t>>;

places_by_file choose(const mixing_rules& rules, const mix_command& command, int64_t fresh) {
  std::vector<int64_t> end_F;  // of each file's answers, where all stand end to end
  int64_t stored = 0;
  for (const std::string& file : command.files) {
    stored += io::read_summary(file).sequences;
    end_F.push_back(stored);
  }
  places_by_file places;
  for (const int64_t place :
       choose_stored(rules.seed, command.iteration, stored, mixed_beside(fresh, rules.share, stored))) {
    const auto f = static_cast<size_t>(std::upper_bound(end_F.begin(), end_F.end(), place) - end_F.begin());
    places[command.files[f]].push_back(static_cast<size_t>(place - (f > 0 ? end_F[f - 1] : 0)));
  }
  return places;
}

mixed_answers read(const mixing_rules& rules, const mix_command& command, int64_t fresh) {
  mixed_answers taken;
  for (const auto& [file, places] : choose(rules, command, fresh)) {
    io::experience e = io::read_experience(file);
    require_expected(rules.stored, e, file, io::iteration_of(file).value_or(0));
    taken.versions_behind +=
        (static_cast<int64_t>(command.policy_version) - e.policy_version) * static_cast<int64_t>(places.size());
    stored_rollout of_file = rollout_of(std::move(e), file);
    if (places.back() >= of_file.sequences.size()) {
      throw error(errc::bad_file, "{}: it has {} answers, and its summary tells of more: it was altered", file,
                  of_file.sequences.size());
    }
    for (const size_t place : places) {
      taken.sequences.push_back(std::move(of_file.sequences[place]));
    }
  }
  return taken;
}

/// What the first rank tells beside the answers.
struct told {
  int64_t versions_behind = 0;
  bool failed = false;
  errc code = errc::bad_argument;
};
static_assert(std::is_trivially_copyable_v<told>);

/// `mine` of the first rank, and a text with it, on all ranks.
told tell(engine::communicator& group, told mine, std::string& text) {
  std::vector<std::byte> bytes;
  if (group.rank() == 0) {
    bytes.resize(sizeof(told) + text.size());
    std::memcpy(bytes.data(), &mine, sizeof(told));
    std::copy_n(reinterpret_cast<const std::byte*>(text.data()), text.size(), bytes.begin() + sizeof(told));
  }
  const std::vector<std::byte> first = engine::gather_bytes(group, bytes, {.label = "stored answers"}).front();
  if (first.size() < sizeof(told)) {
    throw error(errc::lost_peer, "the first rank sent {} bytes of what it has read", first.size());
  }
  std::memcpy(&mine, first.data(), sizeof(told));
  text.assign(reinterpret_cast<const char*>(first.data()) + sizeof(told), first.size() - sizeof(told));
  return mine;
}

/// On all ranks what the first has read.
rollout share(engine::communicator& group, const rollout& read) {
  std::vector<sequence_handle> sequences;
  std::vector<scores_handle> scores;
  for (const scored_sequence& scored : read) {
    sequences.push_back(scored.sequence);
    for (const auto& [by, of_sequence] : scored.scores) {
      scores.push_back(of_sequence);
    }
  }
  std::map<uint64_t, scored_sequence> by_id;
  for (const sequence_handle& sequence : gather(group, std::move(sequences))) {
    if (!by_id.emplace(sequence->sequence_id, scored_sequence{sequence, {}}).second) {
      throw error(errc::bad_argument,
                  "two files of stored experience have an answer with id {}: they are not of one run, and cannot be "
                  "mixed together",
                  sequence->sequence_id);
    }
  }
  for (const scores_handle& of_sequence : gather(group, std::move(scores))) {
    by_id.at(of_sequence->sequence_id).scores[of_sequence->by] = of_sequence;
  }
  rollout all;
  for (auto& [id, scored] : by_id) {
    all.push_back(std::move(scored));
  }
  return all;
}

}  // namespace

mixed_answers take_stored(const mixing_rules& rules, const mix_command& command, int64_t fresh,
                          engine::communicator& group) {
  mixed_answers taken;
  told said;
  std::string problem;
  if (group.rank() == 0) {
    try {
      taken = read(rules, command, fresh);
      said.versions_behind = taken.versions_behind;
    } catch (...) {  // the others wait to be told
      const error failure = to_troupe_error(std::current_exception());
      said.failed = true;
      said.code = failure.code();
      problem = failure.what();
    }
  }
  said = tell(group, said, problem);
  if (said.failed) {
    throw error(said.code, problem);
  }
  return {.sequences = share(group, taken.sequences), .versions_behind = said.versions_behind};
}

}  // namespace troupe::actors
