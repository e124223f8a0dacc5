#include "engine/parallel/results.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>

namespace troupe::engine {

namespace {

using bytes = std::vector<std::byte>;

/// A rank's word begins with a byte of these.
constexpr std::byte succeeded{0}, failed{1};

bytes word_of(std::span<const std::byte> mine, const std::optional<error>& failure) {
  bytes word = {failure ? failed : succeeded};
  if (failure) {
    const auto code = static_cast<int32_t>(failure->code());
    const auto of_code = std::as_bytes(std::span(&code, 1));
    const std::string text = failure->what();
    const auto of_text = std::as_bytes(std::span(text));
    word.insert(word.end(), of_code.begin(), of_code.end());
    word.insert(word.end(), of_text.begin(), of_text.end());
  } else {
    word.insert(word.end(), mine.begin(), mine.end());
  }
  return word;
}

/// The error in a word that begins with `failed`.
error error_of(const bytes& word, size_t rank) {
  int32_t code = 0;
  if (word.size() < 1 + sizeof(code)) {
    return {errc::lost_peer, "rank {} sent {} bytes of an error", rank, word.size()};
  }
  std::memcpy(&code, word.data() + 1, sizeof(code));
  const auto text = std::span(word).subspan(1 + sizeof(code));
  return {static_cast<errc>(code), "{} (found by rank {})",
          std::string(reinterpret_cast<const char*>(text.data()), text.size()), rank};
}

}  // namespace

std::optional<error> error_to_share(bool goes_on, const std::function<void()>& work) {
  try {
    work();
    return std::nullopt;
  } catch (const error& failure) {
    if (!goes_on && failure.code() != errc::not_finite) {
      throw;
    }
    return failure;
  } catch (const std::bad_alloc&) {
    if (!goes_on) {
      throw;
    }
    return error(errc::out_of_memory, "out of memory: `troupe plan` says what the job needs");
  }
}

std::vector<bytes> gather_results(communicator* group, std::span<const std::byte> mine,
                                  const std::optional<error>& failure, const operation_options& options) {
  if (group == nullptr) {
    if (failure) {
      throw error(*failure);
    }
    return {bytes(mine.begin(), mine.end())};
  }
  std::vector<bytes> by_rank = gather_bytes(*group, word_of(mine, failure), options);
  for (size_t rank = 0; rank < by_rank.size(); ++rank) {
    if (!by_rank[rank].empty() && by_rank[rank].front() == failed) {
      throw error_of(by_rank[rank], rank);
    }
  }
  for (bytes& word : by_rank) {
    word.erase(word.begin(), word.begin() + std::min<ptrdiff_t>(1, static_cast<ptrdiff_t>(word.size())));
  }
  return by_rank;
}

}  // namespace troupe::engine
