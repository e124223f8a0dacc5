/// Random choices of tests: a function of the seed alone.
#pragma once

#include "base/random.hpp"

#include <cstdint>
#include <initializer_list>

namespace troupe::test {

class dice {
public:
  explicit dice(uint64_t seed) : seed_(seed) {}

  double uniform() { return random_uniform({.seed = seed_, .stream = 77}, counter_++); }
  /// One of lowest, ..., highest.
  int64_t between(int64_t lowest, int64_t highest) {
    return lowest + static_cast<int64_t>(uniform() * static_cast<double>(highest - lowest + 1));
  }
  bool chance(double probability) { return uniform() < probability; }
  template <class T> T one_of(std::initializer_list<T> values) {
    return values.begin()[between(0, static_cast<int64_t>(values.size()) - 1)];
  }

private:
  uint64_t seed_, counter_ = 0;
};

}  // namespace troupe::test
