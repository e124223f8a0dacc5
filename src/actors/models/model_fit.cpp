#include "actors/models/model_fit.hpp"

#include "base/error.hpp"
#include "io/files/byte_reader.hpp"

#include <fmt/format.h>

#include <array>
#include <memory>

namespace troupe::actors {

std::string length_problem(const io::job& job, const engine::model_description& shape,
                           const std::filesystem::path& folder) {
  if (job.length.max_tokens <= shape.max_positions) {
    return "";
  }
  return fmt::format("length.max-tokens is {}, but {} has {} positions{}: set length.max-tokens to at most {}",
                     job.length.max_tokens, folder.string(), shape.max_positions,
                     shape.window_limits ? " (as many as its sliding_window: what is longer would need an attention "
                                           "that forgets, which is not implemented)"
                                         : "",
                     shape.max_positions);
}

void require_lengths(const io::job& job, const model& m) {
  if (const std::string problem = length_problem(job, m.net.description(), m.folder); !problem.empty()) {
    throw error(errc::bad_argument, problem);
  }
}

std::string vocabulary_problem(const io::tokenizer& tokens, const std::filesystem::path& tokens_folder,
                               const engine::model_description& shape, const std::filesystem::path& folder) {
  for (int64_t id = shape.vocabulary; id < tokens.vocabulary_size(); ++id) {
    const std::array token = {static_cast<int32_t>(id)};
    const std::string text = tokens.decode(token, false);
    if (id != tokens.pad_id() && !text.empty()) {
      return fmt::format("{}: the tokenizer of {} has {} ids, the model only {}: id {} is \"{}\", and only a padding "
                         "token, which no batch here holds, may lie beyond the model's rows",
                         folder.string(), tokens_folder.string(), tokens.vocabulary_size(), shape.vocabulary, id,
                         io::excerpt(text));
    }
  }
  return "";
}

void require_vocabulary(const io::tokenizer& tokens, const std::filesystem::path& folder, const model& m) {
  if (const std::string problem = vocabulary_problem(tokens, folder, m.net.description(), m.folder); !problem.empty()) {
    throw error(errc::bad_argument, problem);
  }
}

std::unique_ptr<io::tokenizer> own_tokenizer(const std::filesystem::path& folder) {
  try {
    return io::load_tokenizer(folder);
  } catch (const error& failure) {
    if (failure.code() != errc::not_found) {
      throw;
    }
    return nullptr;
  }
}

/// Each id must stand for the same text. Empty: it does.
static std::string id_problem(const io::tokenizer& tokens, const std::filesystem::path& policy,
                              const io::tokenizer& own, const std::filesystem::path& folder) {
  for (int64_t id = 0; id < tokens.vocabulary_size(); ++id) {
    const std::array token = {static_cast<int32_t>(id)};
    if (tokens.decode(token, false) != own.decode(token, false)) {
      return fmt::format(
          "{}: its tokenizer is not that of the policy in {}: id {} stands for another text. Models that "
          "read the policy's tokens must have been trained with its tokenizer: name another model",
          folder.string(), policy.string(), id);
    }
  }
  return "";
}

std::string reading_problem(const io::tokenizer& tokens, const std::filesystem::path& policy,
                            const engine::model_description& shape, const std::filesystem::path& folder) {
  const std::unique_ptr<io::tokenizer> own = folder == policy ? nullptr : own_tokenizer(folder);
  std::string problem;
  if (own && own->digest() != tokens.digest()) {
    problem = id_problem(tokens, policy, *own, folder);
  }
  return problem.empty() ? vocabulary_problem(tokens, policy, shape, folder) : problem;
}

void require_reads(const io::job& job, const io::tokenizer& tokens, const std::filesystem::path& policy,
                   const model& reader) {
  require_lengths(job, reader);
  if (const std::string problem = reading_problem(tokens, policy, reader.net.description(), reader.folder);
      !problem.empty()) {
    throw error(errc::bad_argument, problem);
  }
}

}  // namespace troupe::actors
