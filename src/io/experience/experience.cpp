#include "io/experience/experience.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/files/atomic_file.hpp"
#include "io/files/mapped_file.hpp"
#include "io/hdf5/hdf5.hpp"

#include <charconv>
#include <cstring>
#include <span>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

constexpr int64_t experience_format = 1;
constexpr size_t user_block_bytes = 512;
constexpr std::string_view user_block_magic = "troupe experience 1\n";
constexpr std::string_view hdf5_signature = "\x89HDF\r\n\x1a\n";

/// What the first 512 bytes of a file are whose other bytes are `rest`.
std::string user_block_of(std::span<const std::byte> rest) {
  std::string block = fmt::format("{}bytes after this block: {}\nxxh3-64 of them: {}\n", user_block_magic, rest.size(),
                                  digest_text(digest(rest)));
  block.resize(user_block_bytes, '\0');
  return block;
}

/// Errors  bad_file: the bytes are not those that were written. A plain HDF5 file passes.
void check_user_block(const fs::path& path) {
  const auto file = mapped_file::open(path);
  const std::span<const std::byte> bytes = file->bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.substr(0, hdf5_signature.size()) == hdf5_signature) {
    return;
  }
  if (text.substr(0, user_block_magic.size()) != user_block_magic || text.size() < user_block_bytes) {
    throw error(errc::bad_file,
                "{} is not an experience file, or its first bytes are damaged (a model is read by its folder: GGUF and "
                "single safetensors files become one by troupe convert)",
                path.string());
  }
  const std::string expected = user_block_of(bytes.subspan(user_block_bytes));
  if (text.substr(0, user_block_bytes) != expected) {
    throw error(errc::bad_file,
                "{}: its {} bytes do not agree with the digest at its start: it is damaged, or was "
                "changed (write changed experience to a new HDF5 file without user block)",
                path.string(), bytes.size());
  }
}

void write_attributes(hdf5_file& file, const experience& e) {
  file.write_attribute("/", "format", experience_format);
  file.write_attribute("/", "iteration", e.iteration);
  file.write_attribute("/", "policy_version", e.policy_version);
  file.write_attribute("/", "seed", e.seed);
  file.write_attribute("/", "temperature", e.temperature);
  file.write_attribute("/", "top_k", e.top_k);
  file.write_attribute("/", "top_p", e.top_p);
  file.write_attribute("/", "job_digest", e.job_digest);
  file.write_attribute("/", "policy_digest", e.policy_digest);
  file.write_attribute("/", "tokenizer_digest", e.tokenizer_digest);
  file.write_attribute("/", "source_names", std::span<const std::string>(e.source_names));
  file.write_attribute("/", "reward_names", std::span<const std::string>(e.reward_names));
}

template <class T> void write_flat(hdf5_file& file, const char* name, const std::vector<T>& values) {
  file.write<T>(name, {static_cast<int64_t>(values.size())}, values);
}

/// A model whose tokens are bytes may answer with a NUL, where HDF5's strings end.
std::vector<std::string> without_nul(std::vector<std::string> texts) {
  constexpr std::string_view symbol = "\u2400";  // SYMBOL FOR NULL
  for (std::string& text : texts) {
    for (size_t at = text.find('\0'); at != std::string::npos; at = text.find('\0', at)) {
      text.replace(at, 1, symbol);
    }
  }
  return texts;
}

void write_data_sets(hdf5_file& file, const experience& e) {
  write_flat(file, "sequence_id", e.sequence_id_B);
  write_flat(file, "prompt_id", e.prompt_id_B);
  write_flat(file, "source", e.source_B);
  write_flat(file, "token", e.token_N);
  write_flat(file, "sequence_offset", e.sequence_offset_B1);
  write_flat(file, "answer_offset", e.answer_offset_B1);
  write_flat(file, "finished", e.finished_B);
  write_flat(file, "logprob_old", e.logprob_old_A);
  write_flat(file, "logprob_ref", e.logprob_ref_A);
  write_flat(file, "value", e.value_A);
  file.write<float>("reward_raw", {e.sequences(), static_cast<int64_t>(e.reward_names.size())}, e.reward_raw_BS);
  write_flat(file, "reward_shaped", e.reward_shaped_A);
  write_flat(file, "advantage", e.advantage_A);
  if (!e.prompt_text_B.empty() || !e.answer_text_B.empty()) {
    file.write_texts("text/prompt", without_nul(e.prompt_text_B));
    file.write_texts("text/answer", without_nul(e.answer_text_B));
  }
}

void read_attributes(const hdf5_file& file, experience& e) {
  const int64_t format = file.read_int_attribute("/", "format");
  if (format != experience_format) {
    throw error(errc::unsupported, "{}: format {}, this Troupe reads format {}", file.path().string(), format,
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
}

void read_data_sets(const hdf5_file& file, experience& e) {
  e.sequence_id_B = file.read<uint64_t>("sequence_id");
  e.prompt_id_B = file.read<uint64_t>("prompt_id");
  e.source_B = file.read<uint16_t>("source");
  e.token_N = file.read<int32_t>("token");
  e.sequence_offset_B1 = file.read<int64_t>("sequence_offset");
  e.answer_offset_B1 = file.read<int64_t>("answer_offset");
  e.finished_B = file.read<uint8_t>("finished");
  e.logprob_old_A = file.read<float>("logprob_old");
  e.logprob_ref_A = file.read<float>("logprob_ref");
  e.value_A = file.read<float>("value");
  e.reward_raw_BS = file.read<float>("reward_raw");
  e.reward_shaped_A = file.read<float>("reward_shaped");
  e.advantage_A = file.read<float>("advantage");
  if (file.exists("text/prompt") || file.exists("text/answer")) {
    e.prompt_text_B = file.read_texts("text/prompt");
    e.answer_text_B = file.read_texts("text/answer");
  }
}

/// The number N of iteration-N.h5; negative for other names.
int64_t iteration_of(const fs::path& path) {
  constexpr std::string_view prefix = "iteration-";
  const std::string stem = path.stem().string();
  int64_t number = -1;
  if (path.extension() != ".h5" || stem.rfind(prefix, 0) != 0) {
    return -1;
  }
  const auto [stop, failure] = std::from_chars(stem.data() + prefix.size(), stem.data() + stem.size(), number);
  return failure == std::errc() && stop == stem.data() + stem.size() ? number : -1;
}

}  // namespace

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
  hdf5_file file = hdf5_file::create(temporary, user_block_bytes);
  write_attributes(file, e);
  write_data_sets(file, e);
  file.close();
  const auto written = mapped_file::open(temporary);
  const std::string block = user_block_of(written->bytes().subspan(user_block_bytes));
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
  read_attributes(file, e);
  read_data_sets(file, e);
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
  if (!fs::is_directory(folder)) {
    return;
  }
  std::vector<fs::path> beyond;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (iteration_of(entry.path()) > iteration) {
      beyond.push_back(entry.path());
    }
  }
  for (const fs::path& path : beyond) {
    fence.remove(path);
  }
}

}  // namespace troupe::io
