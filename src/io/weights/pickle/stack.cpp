#include "io/weights/pickle/stack.hpp"

#include "base/error.hpp"

#include <utility>

namespace troupe::io::pickle {

void stack::push(value v) {
  values_.push_back(std::move(v));
  stack_.push_back(static_cast<reference>(values_.size() - 1));
}

reference stack::top() const {
  require(stack_.size() > floor(), "uses an empty stack");
  return stack_.back();
}

reference stack::pop() {
  const reference r = top();
  stack_.pop_back();
  return r;
}

std::vector<reference> stack::pop_many(size_t count) {
  require(stack_.size() - floor() >= count, "uses an empty stack");
  std::vector<reference> items(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
  stack_.resize(stack_.size() - count);
  return items;
}

std::vector<reference> stack::pop_to_mark() {
  require(!marks_.empty(), "uses a mark that was not set");
  std::vector<reference> items = pop_many(stack_.size() - marks_.back());
  marks_.pop_back();
  return items;
}

void stack::append(kind container, const std::vector<reference>& items) {
  value& target = values_[top()];
  require(target.what == container, "adds items to something else than a container of their kind");
  require(container != kind::dictionary || items.size() % 2 == 0, "has a key without a value");
  target.items.insert(target.items.end(), items.begin(), items.end());
}

void stack::recall(uint32_t slot) {
  const auto found = memo_.find(slot);
  require(found != memo_.end(), "recalls a memo that was not stored");
  push_again(found->second);
}

const value& stack::expect(reference r, kind wanted) const {
  if (values_[r].what != wanted) {
    throw error(errc::bad_file, "{}: {} where {} is needed, before byte {}", where(), to_string(values_[r].what),
                to_string(wanted), in_.position());
  }
  return values_[r];
}

void stack::require(bool condition, const char* complaint) const {
  if (!condition) {
    throw error(errc::bad_file, "{}: the pickle {}, at byte {}", where(), complaint, opcode_at_);
  }
}

}  // namespace troupe::io::pickle
