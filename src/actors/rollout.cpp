#include "actors/rollout.hpp"

#include "kernels/base/error.hpp"

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace troupe::actors {

namespace {

class byte_writer {
public:
  template <class T> void value(const T& one) {
    static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
    append(&one, sizeof(T));
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
    T one{};
    copy(&one, sizeof(T));
    return one;
  }
  template <class Values> Values values() {
    const auto count = value<uint64_t>();
    constexpr size_t each = sizeof(typename Values::value_type);
    if (count > left_.size() / each) {
      throw error(errc::bad_file, "a rollout from another rank is cut short");
    }
    Values all(count, {});
    copy(all.data(), count * each);
    return all;
  }

private:
  void copy(void* to, size_t size) {
    if (size > left_.size()) {
      throw error(errc::bad_file, "a rollout from another rank is cut short");
    }
    if (size > 0) {
      std::memcpy(to, left_.data(), size);
    }
    left_ = left_.subspan(size);
  }

  std::span<const std::byte> left_;
};

void write(byte_writer& to, const scored_sequence& one) {
  const finished_sequence& s = *one.sequence;
  to.value(s.batch_id);
  to.value(s.sequence_id);
  to.values(s.prompt.tokens);
  to.value(s.prompt.prompt_id);
  to.value(s.prompt.source);
  to.values(s.prompt.reference);
  to.values(s.answer);
  to.values(s.logprob);
  to.value(s.finished);
  to.value(static_cast<uint64_t>(one.scores.size()));
  for (const auto& [by, scores] : one.scores) {
    to.value(by);
    to.values(scores->values);
  }
}

scored_sequence read(byte_reader& from) {
  auto s = std::make_shared<finished_sequence>();
  s->batch_id = from.value<uint64_t>();
  s->sequence_id = from.value<uint64_t>();
  s->prompt.tokens = from.values<std::vector<int32_t>>();
  s->prompt.prompt_id = from.value<uint64_t>();
  s->prompt.source = from.value<uint16_t>();
  s->prompt.reference = from.values<std::string>();
  s->answer = from.values<std::vector<int32_t>>();
  s->logprob = from.values<std::vector<float>>();
  s->finished = from.value<uint8_t>() != 0;
  scored_sequence one;
  for (auto left = from.value<uint64_t>(); left > 0; --left) {
    auto scores = std::make_shared<sequence_scores>();
    scores->sequence_id = s->sequence_id;
    scores->by = static_cast<scorer>(from.value<uint8_t>());
    scores->values = from.values<std::vector<float>>();
    const scorer by = scores->by;
    one.scores[by] = scores_handle{std::move(scores)};
  }
  one.sequence = sequence_handle{std::move(s)};
  return one;
}

}  // namespace

std::vector<std::byte> to_bytes(const rollout& sequences) {
  byte_writer to;
  for (const scored_sequence& one : sequences) {
    write(to, one);
  }
  return to.take();
}

rollout rollout_of(std::span<const std::byte> bytes) {
  byte_reader from(bytes);
  rollout sequences;
  while (!from.empty()) {
    sequences.push_back(read(from));
  }
  return sequences;
}

rollout gather_rollout(engine::communicator& group, rollout mine) {
  if (group.size() == 1) {
    return mine;
  }
  const auto parts = engine::gather_bytes(group, to_bytes(mine));
  rollout all;
  for (size_t r = 0; r < parts.size(); ++r) {
    rollout part = static_cast<int>(r) == group.rank() ? std::move(mine) : rollout_of(parts[r]);
    std::move(part.begin(), part.end(), std::back_inserter(all));
  }
  std::sort(all.begin(), all.end(), [](const scored_sequence& a, const scored_sequence& b) {
    return a.sequence->sequence_id < b.sequence->sequence_id;
  });
  return all;
}

}  // namespace troupe::actors
