#include "io/experience/experience.hpp"

#include "base/error.hpp"
#include "io/experience/experience_set.hpp"
#include "io/experience/summary.hpp"
#include "io/experience/user_block.hpp"
#include "io/files/atomic_file.hpp"
#include "io/files/mapped_file.hpp"
#include "io/files/paths.hpp"
#include "io/hdf5/hdf5.hpp"

#include <algorithm>
#include <charconv>
#include <span>
#include <system_error>
#include <utility>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

constexpr int64_t experience_format = 2;

/// A model whose tokens are bytes may answer with a NUL, and imported names may hold one, where HDF5's strings end.
std::vector<std::string> without_nul(std::vector<std::string> texts) {
  constexpr std::string_view symbol = "\u2400";  // SYMBOL FOR NULL
  for (std::string& text : texts) {
    for (size_t at = text.find('\0'); at != std::string::npos; at = text.find('\0', at)) {
      text.replace(at, 1, symbol);
    }
  }
  return texts;
}

void write_attributes(hdf5_file& file, const experience& e) {
  file.write_attribute("/", "format", experience_format);
  file.write_attribute("/", "iteration", e.iteration);
  file.write_attribute("/", "policy_version", e.policy_version);
  file.write_attribute("/", "seed", e.seed);
  file.write_attribute("/", "temperature", e.temperature);
  file.write_attribute("/", "top_k", e.top_k);
  file.write_attribute("/", "top_p", e.top_p);
  file.write_attribute("/", "min_p", e.min_p);
  file.write_attribute("/", "repetition_penalty", e.repetition_penalty);
  file.write_attribute("/", "job_digest", e.job_digest);
  file.write_attribute("/", "tokenizer_digest", e.tokenizer_digest);
  file.write_attribute("/", "policy_digest", e.policy_digest);
  file.write_attribute("/", "reference_digest", e.reference_digest);
  file.write_attribute("/", "critic_digest", e.critic_digest);
  file.write_attribute("/", "source_names", std::span<const std::string>(without_nul(e.source_names)));
  file.write_attribute("/", "reward_names", std::span<const std::string>(without_nul(e.reward_names)));
  file.write_attribute("/", "complete", static_cast<int64_t>(e.complete ? 1 : 0));
  file.write_attribute("/", "behaviour", std::string(to_string(e.behaviour)));
  file.write_attribute("/", "behaviour_digest", e.behaviour_digest);
  if (e.shaping) {
    file.write_attribute("/", "kl_coefficient", e.shaping->kl_coefficient);
    file.write_attribute("/", "reward_scale_count", e.shaping->scale_count);
    file.write_attribute("/", "reward_scale_mean", e.shaping->scale_mean);
    file.write_attribute("/", "reward_scale_squares", e.shaping->scale_squares);
    file.write_attribute("/", "rollbacks", e.shaping->rollbacks);
  }
}

template <class T> void write_flat(hdf5_file& file, const char* name, const std::vector<T>& values) {
  file.write<T>(name, {static_cast<int64_t>(values.size())}, values);
}

/// An array over answer tokens that nobody has said anything of is not in the file.
void write_answers(hdf5_file& file, const char* name, const experience& e, const std::vector<float>& values_A) {
  if (!values_A.empty() || e.answer_tokens() == 0) {
    write_flat(file, name, values_A);
  }
}

void write_texts(hdf5_file& file, const char* name, const std::vector<std::string>& texts_B) {
  if (!texts_B.empty()) {
    file.write_texts(name, without_nul(texts_B));
  }
}

void write_data_sets(hdf5_file& file, const experience& e) {
  write_flat(file, "sequence_id", e.sequence_id_B);
  write_flat(file, "prompt_id", e.prompt_id_B);
  write_flat(file, "group", e.group_B);
  write_flat(file, "source", e.source_B);
  write_flat(file, "token", e.token_N);
  write_flat(file, "sequence_offset", e.sequence_offset_B1);
  write_flat(file, "answer_offset", e.answer_offset_B1);
  write_flat(file, "finished", e.finished_B);
  write_answers(file, "logprob_old", e, e.logprob_old_A);
  write_answers(file, "logprob_ref", e, e.logprob_ref_A);
  write_answers(file, "value", e, e.value_A);
  file.write<float>("reward_raw", {e.sequences(), static_cast<int64_t>(e.reward_names.size())}, e.reward_raw_BS);
  if (!e.reward_weight_S.empty()) {
    write_flat(file, "reward_weight", e.reward_weight_S);
  }
  write_answers(file, "reward_shaped", e, e.reward_shaped_A);
  write_answers(file, "advantage", e, e.advantage_A);
  write_texts(file, "text/prompt", e.prompt_text_B);
  write_texts(file, "text/answer", e.answer_text_B);
  write_texts(file, "text/label", e.label_text_B);
}

behaviour_source read_behaviour(const hdf5_file& file) {
  const std::string word = file.read_text_attribute("/", "behaviour");
  if (const auto known = behaviour_named(word)) {
    return *known;
  }
  throw error(errc::bad_file, "{}: behaviour is \"{}\", not one of sampled, imported, scored, unknown",
              file.path().string(), word);
}

/// What format 2 says beyond format 1.
void read_later_attributes(const hdf5_file& file, experience& e) {
  e.min_p = file.read_double_attribute("/", "min_p");
  e.repetition_penalty = file.read_double_attribute("/", "repetition_penalty");
  e.reference_digest = file.read_text_attribute("/", "reference_digest");
  e.critic_digest = file.read_text_attribute("/", "critic_digest");
  e.complete = file.read_int_attribute("/", "complete") != 0;
  e.behaviour = read_behaviour(file);
  e.behaviour_digest = file.read_text_attribute("/", "behaviour_digest");
  if (file.has_attribute("/", "kl_coefficient")) {
    e.shaping = shaping_state{.kl_coefficient = file.read_double_attribute("/", "kl_coefficient"),
                              .scale_count = file.read_int_attribute("/", "reward_scale_count"),
                              .scale_mean = file.read_double_attribute("/", "reward_scale_mean"),
                              .scale_squares = file.read_double_attribute("/", "reward_scale_squares"),
                              .rollbacks = file.read_int_attribute("/", "rollbacks")};
  }
}

/// Returns the file's format.
int64_t read_attributes(const hdf5_file& file, experience& e) {
  const int64_t format = file.read_int_attribute("/", "format");
  if (format < 1 || format > experience_format) {
    throw error(errc::unsupported, "{}: format {}, this Troupe reads formats 1 and {}", file.path().string(), format,
                experience_format);
  }
  e.iteration = file.read_int_attribute("/", "iteration");
  e.policy_version = file.read_int_attribute("/", "policy_version");
  e.seed = file.read_unsigned_attribute("/", "seed");
  e.temperature = file.read_double_attribute("/", "temperature");
  e.top_k = file.read_int_attribute("/", "top_k");
  e.top_p = file.read_double_attribute("/", "top_p");
  e.job_digest = file.read_text_attribute("/", "job_digest");
  e.policy_digest = file.read_text_attribute("/", "policy_digest");
  e.tokenizer_digest = file.read_text_attribute("/", "tokenizer_digest");
  e.source_names = file.read_texts_attribute("/", "source_names");
  e.reward_names = file.read_texts_attribute("/", "reward_names");
  if (format > 1) {
    read_later_attributes(file, e);
  }
  return format;
}

template <class T> void read_if_there(const hdf5_file& file, const char* name, std::vector<T>& values) {
  if (file.exists(name)) {
    values = file.read<T>(name);
  }
}

void read_texts(const hdf5_file& file, const char* name, std::vector<std::string>& texts_B) {
  if (file.exists(name)) {
    texts_B = file.read_texts(name);
  }
}

void read_data_sets(const hdf5_file& file, int64_t format, experience& e) {
  e.sequence_id_B = file.read<uint64_t>("sequence_id");
  e.prompt_id_B = file.read<uint64_t>("prompt_id");
  e.group_B = format > 1 ? file.read<uint64_t>("group") : e.prompt_id_B;
  e.source_B = file.read<uint16_t>("source");
  e.token_N = file.read<int32_t>("token");
  e.sequence_offset_B1 = file.read<int64_t>("sequence_offset");
  e.answer_offset_B1 = file.read<int64_t>("answer_offset");
  e.finished_B = file.read<uint8_t>("finished");
  read_if_there(file, "logprob_old", e.logprob_old_A);
  read_if_there(file, "logprob_ref", e.logprob_ref_A);
  read_if_there(file, "value", e.value_A);
  e.reward_raw_BS = file.read<float>("reward_raw");
  read_if_there(file, "reward_weight", e.reward_weight_S);
  read_if_there(file, "reward_shaped", e.reward_shaped_A);
  read_if_there(file, "advantage", e.advantage_A);
  read_texts(file, "text/prompt", e.prompt_text_B);
  read_texts(file, "text/answer", e.answer_text_B);
  read_texts(file, "text/label", e.label_text_B);
}

}  // namespace

std::string_view to_string(behaviour_source value) {
  switch (value) {
  case behaviour_source::sampled:
    return "sampled";
  case behaviour_source::imported:
    return "imported";
  case behaviour_source::scored:
    return "scored";
  case behaviour_source::unknown:
    return "unknown";
  }
  throw error(errc::bad_argument, "a behaviour without a word");
}

std::optional<behaviour_source> behaviour_named(std::string_view word) {
  for (const auto known :
       {behaviour_source::sampled, behaviour_source::imported, behaviour_source::scored, behaviour_source::unknown}) {
    if (word == to_string(known)) {
      return known;
    }
  }
  return std::nullopt;
}

template <class T> static std::span<const T> part_of(const std::vector<T>& values, int64_t begin, int64_t end) {
  return std::span(values).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
}

std::span<const int32_t> experience::prompt_tokens(int64_t b) const {
  const auto i = static_cast<size_t>(b);
  const int64_t answer = answer_offset_B1[i + 1] - answer_offset_B1[i];
  return part_of(token_N, sequence_offset_B1[i], sequence_offset_B1[i + 1] - answer);
}

std::span<const int32_t> experience::answer_tokens(int64_t b) const {
  const auto i = static_cast<size_t>(b);
  const int64_t answer = answer_offset_B1[i + 1] - answer_offset_B1[i];
  return part_of(token_N, sequence_offset_B1[i + 1] - answer, sequence_offset_B1[i + 1]);
}

std::span<const float> experience::of_answer(const std::vector<float>& values_A, int64_t b) const {
  const auto i = static_cast<size_t>(b);
  return values_A.empty() ? std::span<const float>() : part_of(values_A, answer_offset_B1[i], answer_offset_B1[i + 1]);
}

float weighted_score(std::span<const float> raw_S, std::span<const double> weight_S) {
  double total = 0;
  for (size_t s = 0; s < raw_S.size(); ++s) {
    const double weight = weight_S.empty() ? 1.0 : weight_S[s];
    if (weight != 0) {
      total += weight * static_cast<double>(raw_S[s]);
    }
  }
  return static_cast<float>(total);
}

float experience::score(int64_t b) const {
  const auto sources = static_cast<int64_t>(reward_names.size());
  return weighted_score(part_of(reward_raw_BS, b * sources, (b + 1) * sources), reward_weight_S);
}

std::optional<int64_t> iteration_of(const fs::path& path) {
  constexpr std::string_view prefix = "iteration-";
  const std::string stem = path.stem().string();
  int64_t number = -1;
  if (path.extension() != ".h5" || !stem.starts_with(prefix)) {
    return std::nullopt;
  }
  const auto [stop, failure] = std::from_chars(stem.data() + prefix.size(), stem.data() + stem.size(), number);
  if (failure != std::errc() || stop != stem.data() + stem.size() || number < 0) {
    return std::nullopt;
  }
  return number;
}

std::vector<fs::path> experience_files(const fs::path& folder) {
  std::vector<fs::path> files = all_experience_files(folder);
  const auto twice = std::adjacent_find(files.begin(), files.end(), [](const fs::path& a, const fs::path& b) {
    return iteration_of(a) == iteration_of(b);
  });
  if (twice != files.end()) {
    throw error(errc::bad_argument, "{}: {} and {} are of one iteration, whose answers would count twice: move one",
                folder.string(), twice->filename().string(), std::next(twice)->filename().string());
  }
  return files;
}

void write_experience(const fs::path& path, const experience& e, const attempt_fence* fence) {
  try {
    validate(e, path.string());
  } catch (const error& failure) {
    throw error(errc::bad_argument, failure.what());
  }
  write_experience_unchecked(path, e, fence);
}

static fs::path workplace_of(const fs::path& path, const attempt_fence* fence) {
  if (fence != nullptr) {
    return fence->workplace(path);
  }
  fs::path temporary = path;
  temporary += ".tmp";
  return temporary;
}

void write_experience_unchecked(const fs::path& path, const experience& e, const attempt_fence* fence) {
  try {
    validate_sizes(e, path.string());
  } catch (const error& failure) {
    throw error(errc::bad_argument, failure.what());
  }
  const fs::path temporary = workplace_of(path, fence);
  atomic_file out(path, temporary);  // owns and locks the temporary file, which HDF5 opens once more
  hdf5_file file = hdf5_file::create(temporary, static_cast<int64_t>(experience_block_bytes));
  write_attributes(file, e);
  write_data_sets(file, e);
  file.close();
  const auto written = mapped_file::open(temporary);
  const std::string block =
      user_block_of(written->bytes().subspan(experience_block_bytes), summary_text(summary_of(e)));
  out.write_at(0, std::as_bytes(std::span(block)));
  if (fence != nullptr) {
    fence->require();
  }
  out.commit();
}

experience read_experience_unchecked(const fs::path& path) {
  check_user_block(path);
  const hdf5_file file = hdf5_file::open(path);
  experience e;
  const int64_t format = read_attributes(file, e);
  read_data_sets(file, format, e);
  const hdf5_shape rewards = file.shape("reward_raw");
  if (rewards.shape.size() != 2 || rewards.shape[1] != static_cast<int64_t>(e.reward_names.size())) {
    throw error(errc::bad_file, "{}: reward_raw has shape [{}], not [{}, {}]", path.string(),
                fmt::join(rewards.shape, ", "), e.sequences(), e.reward_names.size());
  }
  validate_sizes(e, path.string());
  return e;
}

experience read_experience(const fs::path& path) {
  experience e = read_experience_unchecked(path);
  validate(e, path.string());
  return e;
}

void remove_experience_after(const fs::path& folder, int64_t iteration, const attempt_fence& fence) {
  for (const fs::path& path : all_experience_files(folder)) {
    if (iteration_of(path).value() > iteration) {
      fence.remove(path);
    }
  }
}

}  // namespace troupe::io
