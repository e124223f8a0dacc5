/// Text whose bytes remember where they came from, through every operation of a template.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io::jinja {

/// What is known of a byte; a byte may carry both marks.
enum mark : uint8_t {
  no_mark = 0,
  from_data = 1,  ///< it came from a message, a tool or a document, not from the template
  generated = 2,  ///< it was written inside {% generation %}
};

class text {
public:
  text() = default;
  explicit text(std::string_view bytes, uint8_t marks = no_mark) : bytes_(bytes), marks_(bytes.size(), marks) {}

  const std::string& bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }

  /// One set of marks a byte.
  const std::vector<uint8_t>& marks() const { return marks_; }

  /// The bytes [begin, begin + length), as far as they are there.
  text part(size_t begin, size_t length = std::string::npos) const;

  void append(const text& other);
  void append(const text& other, size_t begin, size_t length);
  void append(std::string_view bytes, uint8_t marks = no_mark);

  /// Adds `marks` to the bytes from `begin` on.
  void add_marks(size_t begin, uint8_t marks);

  bool operator==(const text& other) const { return bytes_ == other.bytes_; }

private:
  std::string bytes_;
  std::vector<uint8_t> marks_;
};

/// Where each character of valid UTF-8 begins, and the end.
std::vector<size_t> character_bounds(std::string_view bytes);

/// str.isspace of a code point, as Python has it.
bool is_space(uint32_t code);

/// Without white space, or without the characters in `chars`, at the chosen ends: Python's strip.
text strip(const text& from, const std::string* chars, bool at_start, bool at_end);

/// Every occurrence of `old` replaced, the first `count` of them where it is not negative: Python's replace.
text replace(const text& from, const text& old, const text& by, int64_t count);

}  // namespace troupe::io::jinja
