/// Reads reference values from the safetensors files of tests/data. For the layers above io only.
#pragma once

#include "base/error.hpp"
#include "io/weights/safetensors.hpp"
#include "support/test_data.hpp"

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace troupe::test {

/// A file of tests/data, for example "tiny/math/ppo.safetensors". Missing names throw and so fail
/// the test.
class fixture {
public:
  explicit fixture(const std::string& path)
      : path_(path), file_(io::safetensors_file::open(test_data() + "/" + path)) {}

  bool has(const std::string& name) const { return file_.find(name).has_value(); }
  host_array array(const std::string& name) const {
    const auto found = file_.find(name);
    if (!found) {
      throw error(errc::not_found, "{} has no {}", path_, name);
    }
    return *found;
  }
  std::vector<int64_t> shape(const std::string& name) const { return array(name).shape; }

  /// Values of any of the fixtures' types.
  template <class T> std::vector<T> values(const std::string& name) const {
    const host_array a = array(name);
    switch (a.type) {
    case dtype::f32:
      return copy<T, float>(a);
    case dtype::f64:
      return copy<T, double>(a);
    case dtype::i64:
      return copy<T, int64_t>(a);
    default:
      throw error(errc::unsupported, "{}: {} is {}", path_, name, to_string(a.type));
    }
  }
  std::vector<float> floats(const std::string& name) const { return values<float>(name); }
  std::vector<double> doubles(const std::string& name) const { return values<double>(name); }
  std::vector<int64_t> integers(const std::string& name) const { return values<int64_t>(name); }
  double number(const std::string& name) const { return doubles(name).at(0); }
  int64_t integer(const std::string& name) const { return integers(name).at(0); }

  /// A constant of the file's metadata.
  double constant(const std::string& name) const { return std::stod(file_.metadata().at(name)); }
  const std::vector<std::string>& names() const { return file_.names(); }

private:
  template <class T, class Stored> static std::vector<T> copy(const host_array& a) {
    std::vector<T> out;
    for (size_t i = 0; i < a.bytes.size(); i += sizeof(Stored)) {
      Stored value{};
      std::memcpy(&value, a.bytes.data() + i, sizeof(Stored));
      out.push_back(static_cast<T>(value));
    }
    return out;
  }

  std::string path_;
  io::safetensors_file file_;
};

}  // namespace troupe::test
