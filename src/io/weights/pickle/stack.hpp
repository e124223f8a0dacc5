/// What a pickle builds and looks at while it runs: its values, the stack of references to them, the marks and the
/// memo. Every access is checked, since the bytes are not to be trusted. Internal to io/pickle.
#pragma once

#include "io/files/byte_reader.hpp"
#include "io/weights/pickle/value.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace troupe::io::pickle {

/// Errors of every member  bad_file, naming the source and the byte.
class stack {
public:
  /// `in` is read by the owner; the stack asks it for the position, for errors.
  explicit stack(const byte_reader& in) : in_(in) {}

  /// An opcode begins where the reader stands.
  void begin_opcode() { opcode_at_ = in_.position(); }
  uint64_t opcode_at() const { return opcode_at_; }
  const std::string& where() const { return in_.where(); }

  void push(value v);
  void push_again(reference r) { stack_.push_back(r); }
  reference top() const;
  reference pop();
  std::vector<reference> pop_many(size_t count);

  /// Values below the last mark are out of reach, as in Python.
  void mark() { marks_.push_back(stack_.size()); }
  std::vector<reference> pop_to_mark();

  /// Adds to the list or dictionary on top.
  void append(kind container, const std::vector<reference>& items);

  /// The memo: the value on top under a number, by default the next.
  void memorise(uint32_t slot) { memo_[slot] = top(); }
  void memorise() { memorise(static_cast<uint32_t>(memo_.size())); }
  void recall(uint32_t slot);

  const value& operator[](reference r) const { return values_[r]; }
  const value& expect(reference r, kind wanted) const;
  std::string_view text_of(reference r) const { return expect(r, kind::text).text; }
  int64_t integer_of(reference r) const { return expect(r, kind::integer).integer; }

  /// Fails with "the pickle `complaint`".
  void require(bool condition, const char* complaint) const;

private:
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  const byte_reader& in_;
  uint64_t opcode_at_ = 0;
  std::vector<value> values_;
  std::vector<reference> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint32_t, reference> memo_;
};

}  // namespace troupe::io::pickle
