/// A file descriptor with an owner.
#pragma once

#include <unistd.h>

#include <utility>

namespace troupe {

class descriptor {
public:
  descriptor() = default;
  explicit descriptor(int number) : number_(number) {}
  descriptor(descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~descriptor() { reset(); }

  int get() const { return number_; }
  bool valid() const { return number_ >= 0; }
  int release() { return std::exchange(number_, -1); }
  void reset() {
    if (valid()) {
      ::close(release());
    }
  }

private:
  int number_ = -1;
};

}  // namespace troupe
