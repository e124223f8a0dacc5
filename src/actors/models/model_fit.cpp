#include "actors/models/model_fit.hpp"

#include "base/error.hpp"
#include "io/files/byte_reader.hpp"

#include <array>
#include <memory>

namespace troupe::actors {

void require_lengths(const io::job& job, const model& m) {
  const engine::model_description& shape = m.net.description();
  const int64_t positions = shape.max_positions;
  if (job.length.max_tokens > positions) {
    throw error(errc::bad_argument,
                "length.max-tokens is {}, but {} has {} positions{}: set length.max-tokens to at most {}",
                job.length.max_tokens, m.folder.string(), positions,
                shape.window_limits ? " (as many as its sliding_window: what is longer would need an attention that "
                                      "forgets, which is not implemented)"
                                    : "",
                positions);
  }
}

void require_vocabulary(const io::tokenizer& tokens, const std::filesystem::path& folder, const model& m) {
  const int64_t rows = m.net.description().vocabulary;
  for (int64_t id = rows; id < tokens.vocabulary_size(); ++id) {
    const std::array one = {static_cast<int32_t>(id)};
    const std::string text = tokens.decode(one, false);
    if (id != tokens.pad_id() && !text.empty()) {
      throw error(
          errc::bad_argument,
          "{}: the tokenizer of {} has {} ids, the model only {}: id {} is \"{}\", and only a padding token, which "
          "no batch here holds, may lie beyond the model's rows",
          m.folder.string(), folder.string(), tokens.vocabulary_size(), rows, id, io::printable(text));
    }
  }
}

/// Null where the folder has none.
static std::unique_ptr<io::tokenizer> own_tokenizer(const std::filesystem::path& folder) {
  try {
    return io::load_tokenizer(folder);
  } catch (const error& failure) {
    if (failure.code() != errc::not_found) {
      throw;
    }
    return nullptr;
  }
}

static void require_same_ids(const io::tokenizer& tokens, const std::filesystem::path& policy, const io::tokenizer& own,
                             const std::filesystem::path& folder) {
  for (int64_t id = 0; id < tokens.vocabulary_size(); ++id) {
    const std::array token = {static_cast<int32_t>(id)};
    if (tokens.decode(token, false) != own.decode(token, false)) {
      throw error(errc::bad_argument,
                  "{}: its tokenizer is not that of the policy in {}: id {} stands for another text. Models that "
                  "read the policy's tokens must have been trained with its tokenizer: name another model",
                  folder.string(), policy.string(), id);
    }
  }
}

void require_reads(const io::job& job, const io::tokenizer& tokens, const std::filesystem::path& policy,
                   const model& reader) {
  require_lengths(job, reader);
  const std::unique_ptr<io::tokenizer> own = own_tokenizer(reader.folder);
  if (own && own->digest() != tokens.digest()) {
    require_same_ids(tokens, policy, *own, reader.folder);
  }
  require_vocabulary(tokens, policy, reader);
}

}  // namespace troupe::actors
