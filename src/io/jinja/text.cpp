#include "io/jinja/text.hpp"

#include "io/tokenizer/utf8.hpp"

#include <algorithm>

namespace troupe::io::jinja {

text text::part(size_t begin, size_t length) const {
  text result;
  result.append(*this, begin, length);
  return result;
}

void text::append(const text& other) { append(other, 0, other.size()); }

void text::append(const text& other, size_t begin, size_t length) {
  begin = std::min(begin, other.size());
  length = std::min(length, other.size() - begin);
  bytes_.append(other.bytes_, begin, length);
  const auto first = other.marks_.begin() + static_cast<std::ptrdiff_t>(begin);
  marks_.insert(marks_.end(), first, first + static_cast<std::ptrdiff_t>(length));
}

void text::append(std::string_view bytes, uint8_t marks) {
  bytes_.append(bytes);
  marks_.resize(bytes_.size(), marks);
}

void text::add_marks(size_t begin, uint8_t marks) {
  for (size_t i = begin; i < marks_.size(); ++i) {
    marks_[i] = static_cast<uint8_t>(marks_[i] | marks);
  }
}

std::vector<size_t> character_bounds(std::string_view bytes) {
  std::vector<size_t> bounds;
  bounds.reserve(bytes.size() + 1);
  for (size_t i = 0; i < bytes.size(); ++i) {
    if ((static_cast<uint8_t>(bytes[i]) & 0xC0) != 0x80) {
      bounds.push_back(i);
    }
  }
  bounds.push_back(bytes.size());
  return bounds;
}

bool is_space(uint32_t code) {
  return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20) || code == 0x85 || code == 0xA0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F ||
         code == 0x205F || code == 0x3000;
}

static bool may_go(std::string_view character, const std::string* chars) {
  // A character of UTF-8 cannot begin in the middle of another one, so that find() is exact.
  return chars != nullptr ? chars->find(character) != std::string::npos : is_space(read_utf8(character).code);
}

text strip(const text& from, const std::string* chars, bool at_start, bool at_end) {
  const std::string_view bytes = from.bytes();
  const std::vector<size_t> bounds = character_bounds(bytes);
  const auto character = [&](size_t i) { return bytes.substr(bounds[i], bounds[i + 1] - bounds[i]); };
  size_t first = 0;
  size_t last = bounds.size() - 1;
  while (at_start && first < last && may_go(character(first), chars)) {
    ++first;
  }
  while (at_end && last > first && may_go(character(last - 1), chars)) {
    --last;
  }
  return from.part(bounds[first], bounds[last] - bounds[first]);
}

text replace(const text& from, const text& old, const text& by, int64_t count) {
  text result;
  if (old.empty()) {  // between all characters, and at both ends
    const std::vector<size_t> bounds = character_bounds(from.bytes());
    for (size_t i = 0; i < bounds.size(); ++i) {
      if (count < 0 || static_cast<int64_t>(i) < count) {
        result.append(by);
      }
      result.append(from, bounds[i], i + 1 < bounds.size() ? bounds[i + 1] - bounds[i] : 0);
    }
    return result;
  }
  size_t done = 0;
  for (int64_t n = 0; count < 0 || n < count; ++n) {
    const size_t at = from.bytes().find(old.bytes(), done);
    if (at == std::string::npos) {
      break;
    }
    result.append(from, done, at - done);
    result.append(by);
    done = at + old.size();
  }
  result.append(from, done, from.size() - done);
  return result;
}

}  // namespace troupe::io::jinja
