#include "actors/cast/rollout.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <type_traits>

namespace troupe::actors {

namespace {

class byte_writer {
public:
  template <class T> void value(const T& number) {
    static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
    append(&number, sizeof(T));
  }
  template <class Values> void values(const Values& all) {
    value(static_cast<uint64_t>(all.size()));
    append(all.data(), all.size() * sizeof(all[0]));
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

private:
  void append(const void* from, size_t size) {
    const auto* first = static_cast<const std::byte*>(from);
    bytes_.insert(bytes_.end(), first, first + size);
  }

  std::vector<std::byte> bytes_;
};

class byte_reader {
public:
  explicit byte_reader(std::span<const std::byte> bytes) : left_(bytes) {}

  bool empty() const { return left_.empty(); }
  template <class T> T value() {
    T number{};
    copy(&number, sizeof(T));
    return number;
  }
  template <class Values> Values values() {
    const auto count = value<uint64_t>();
    constexpr size_t each = sizeof(typename Values::value_type);
    if (count > left_.size() / each) {
      throw error(errc::bad_file, "what another rank sent of a rollout is cut short");
    }
    Values all(count, {});
    copy(all.data(), count * each);
    return all;
  }

private:
  void copy(void* to, size_t size) {
    if (size > left_.size()) {
      throw error(errc::bad_file, "what another rank sent of a rollout is cut short");
    }
    if (size > 0) {
      std::memcpy(to, left_.data(), size);
    }
    left_ = left_.subspan(size);
  }

  std::span<const std::byte> left_;
};

void write(byte_writer& to, const finished_sequence& s) {
  to.value(s.batch_id);
  to.value(s.sequence_id);
  to.values(s.prompt.tokens);
  to.value(s.prompt.prompt_id);
  to.value(s.prompt.source);
  to.values(s.prompt.reference);
  to.values(s.answer);
  to.values(s.logprob);
  to.value(s.finished);
}

void read(byte_reader& from, finished_sequence& s) {
  s.batch_id = from.value<uint64_t>();
  s.sequence_id = from.value<uint64_t>();
  s.prompt.tokens = from.values<std::vector<int32_t>>();
  s.prompt.prompt_id = from.value<uint64_t>();
  s.prompt.source = from.value<uint16_t>();
  s.prompt.reference = from.values<std::string>();
  s.answer = from.values<std::vector<int32_t>>();
  s.logprob = from.values<std::vector<float>>();
  s.finished = from.value<uint8_t>() != 0;
}

void write(byte_writer& to, const sequence_scores& scores) {
  to.value(scores.sequence_id);
  to.value(scores.by);
  to.values(scores.values);
}

void read(byte_reader& from, sequence_scores& scores) {
  scores.sequence_id = from.value<uint64_t>();
  const auto by = from.value<uint8_t>();
  if (by > static_cast<uint8_t>(scorer::policy)) {
    throw error(errc::bad_file, "scores from another rank are by scorer {}, which there is not", by);
  }
  scores.by = static_cast<scorer>(by);
  scores.values = from.values<std::vector<float>>();
}

template <class T> std::vector<std::byte> bytes_of(std::span<const local_handle<T>> all) {
  byte_writer to;
  for (const local_handle<T>& handle : all) {
    write(to, *handle);
  }
  return to.take();
}

template <class T> std::vector<local_handle<T>> handles_of(std::span<const std::byte> bytes) {
  byte_reader from(bytes);
  std::vector<local_handle<T>> all;
  while (!from.empty()) {
    auto item = std::make_shared<T>();
    read(from, *item);
    all.push_back({std::move(item)});
  }
  return all;
}

template <class T>
std::vector<local_handle<T>> gather_handles(engine::communicator& group, std::vector<local_handle<T>> mine) {
  if (group.size() == 1) {
    return mine;
  }
  const auto parts =
      engine::gather_bytes(group, bytes_of(std::span<const local_handle<T>>(mine)), {.label = "rollouts"});
  std::vector<local_handle<T>> all;
  for (size_t r = 0; r < parts.size(); ++r) {
    const auto part = static_cast<int>(r) == group.rank() ? mine : handles_of<T>(parts[r]);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

}  // namespace

std::vector<std::byte> to_bytes(std::span<const sequence_handle> sequences) { return bytes_of(sequences); }
std::vector<std::byte> to_bytes(std::span<const scores_handle> scores) { return bytes_of(scores); }

std::vector<sequence_handle> sequences_of(std::span<const std::byte> bytes) {
  return handles_of<finished_sequence>(bytes);
}
std::vector<scores_handle> scores_of(std::span<const std::byte> bytes) { return handles_of<sequence_scores>(bytes); }

std::vector<sequence_handle> gather(engine::communicator& group, std::vector<sequence_handle> mine) {
  std::vector<sequence_handle> all = gather_handles(group, std::move(mine));
  std::sort(all.begin(), all.end(),
            [](const sequence_handle& a, const sequence_handle& b) { return a->sequence_id < b->sequence_id; });
  return all;
}

std::vector<scores_handle> gather(engine::communicator& group, std::vector<scores_handle> mine) {
  return gather_handles(group, std::move(mine));
}

}  // namespace troupe::actors
