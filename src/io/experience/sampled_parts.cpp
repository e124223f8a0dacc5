#include "io/experience/sampled_parts.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/files/atomic_file.hpp"
#include "io/files/byte_reader.hpp"
#include "io/files/mapped_file.hpp"
#include "io/files/paths.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <regex>
#include <string_view>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

// A part: this text, the digest of all that follows, the key (length and bytes of the job's digest, draw, rollbacks),
// the sequences. Integers have 64 bits and are little-endian.
constexpr std::string_view format_mark = "troupe rollout part 1\n";

fs::path folder_of(const run_directory& run, uint64_t draw) { return run.rollouts() / fmt::format("draw-{:06}", draw); }

fs::path path_of(const run_directory& run, uint64_t draw, const part_name& name) {
  return folder_of(run, draw) /
         fmt::format("attempt-{:06}-rank-{:05}-{:06}.part", name.attempt, name.rank, name.number);
}

std::optional<part_name> name_of(const fs::path& file) {
  static const std::regex form(R"(attempt-(\d{6,18})-rank-(\d{5,9})-(\d{6,18})\.part)");
  std::smatch found;
  const std::string text = file.filename().string();
  if (!std::regex_match(text, found, form)) {
    return std::nullopt;
  }
  return part_name{.attempt = std::stoll(found[1]), .rank = std::stoi(found[2]), .number = std::stoll(found[3])};
}

std::optional<uint64_t> draw_of(const fs::path& folder) {
  static const std::regex form(R"(draw-(\d{6,18}))");
  std::smatch found;
  const std::string text = folder.filename().string();
  return std::regex_match(text, found, form) ? std::optional<uint64_t>(std::stoull(found[1])) : std::nullopt;
}

void append(std::vector<std::byte>& to, std::span<const std::byte> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}
void append(std::vector<std::byte>& to, std::string_view text) { append(to, std::as_bytes(std::span(text))); }
void append(std::vector<std::byte>& to, uint64_t number) { append(to, std::as_bytes(std::span(&number, 1))); }

std::vector<std::byte> body_of(const rollout_key& key, std::span<const std::byte> sequences) {
  std::vector<std::byte> body;
  append(body, static_cast<uint64_t>(key.job_digest.size()));
  append(body, key.job_digest);
  append(body, key.draw);
  append(body, key.rollbacks);
  append(body, sequences);
  return body;
}

struct part {
  rollout_key key;
  std::vector<std::byte> sequences;
};

/// Errors  bad_file.
part part_of(std::span<const std::byte> bytes, const std::string& where) {
  byte_reader from(bytes, where);
  if (from.take_text(format_mark.size()) != format_mark) {
    throw error(errc::bad_file, "{}: is no part of a rollout, or one of another version", where);
  }
  const auto expected = from.read<uint64_t>();
  if (digest(bytes.subspan(from.position())) != expected) {
    throw error(errc::bad_file, "{}: its digest does not fit its bytes", where);
  }
  part read;
  read.key.job_digest = from.take_text(from.read<uint64_t>());
  read.key.draw = from.read<uint64_t>();
  read.key.rollbacks = from.read<uint64_t>();
  const auto sequences = from.take(from.left());
  read.sequences.assign(sequences.begin(), sequences.end());
  return read;
}

std::vector<part_name> names_before(const run_directory& run, uint64_t draw, int64_t attempt) {
  std::vector<part_name> names;
  for (const fs::directory_entry& entry : entries_of(folder_of(run, draw))) {
    const auto name = name_of(entry.path());
    if (name && name->attempt < attempt) {
      names.push_back(*name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

void write_sampled_part(const run_directory& run, const rollout_key& key, const part_name& name,
                        std::span<const std::byte> sequences, const attempt_fence& fence) {
  const std::vector<std::byte> body = body_of(key, sequences);
  std::vector<std::byte> head;
  append(head, format_mark);
  append(head, digest(body));
  const fs::path target = path_of(run, key.draw, name);
  make_folder(target.parent_path());
  atomic_file file(target, fence.workplace(target));
  file.write(head);
  file.write(body);
  fence.require();
  file.commit();
}

sampled_parts read_sampled_parts(const run_directory& run, const rollout_key& key, int64_t attempt) {
  sampled_parts found;
  for (const part_name& name : names_before(run, key.draw, attempt)) {
    const std::string file = path_of(run, key.draw, name).string();
    const auto bytes = mapped_file::open(file);
    try {
      part read = part_of(bytes->bytes(), file);
      if (read.key == key) {
        found.sequences.push_back(std::move(read.sequences));
      }
    } catch (const error& damage) {
      if (damage.code() != errc::bad_file) {
        throw;
      }
      found.damaged.emplace_back(damage.what());
    }
  }
  return found;
}

void remove_sampled_parts(const run_directory& run, uint64_t draw, const attempt_fence& fence) {
  for (const fs::directory_entry& entry : entries_of(run.rollouts())) {
    const auto of = draw_of(entry.path());
    if (of && *of < draw) {
      fence.remove(entry.path());
    }
  }
}

}  // namespace troupe::io
