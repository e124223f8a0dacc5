#include "io/weights/gguf.hpp"
#include "io/weights/safetensors.hpp"
#include "support/damage.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <string>

namespace troupe::io {
namespace {

using test::byte_vector;
using test::expect_error;

const std::string formats = test_data() + "/formats/";

gguf_file parse(const byte_vector& bytes) { return gguf_file::parse(bytes, nullptr, "f"); }

template <class T> std::string raw(T value) { return {reinterpret_cast<const char*>(&value), sizeof(value)}; }

std::string counted(const std::string& text) { return raw<uint64_t>(text.size()) + text; }

/// A file of so many tensors and metadata pairs, the rest as given.
byte_vector compose(uint64_t tensors, uint64_t pairs, const std::string& rest, uint32_t version = 3) {
  return test::to_bytes("GGUF" + raw(version) + raw(tensors) + raw(pairs) + rest);
}

std::string description(const std::string& name, const std::vector<uint64_t>& extents, uint32_t type, uint64_t offset) {
  std::string text = counted(name) + raw(static_cast<uint32_t>(extents.size()));
  for (const uint64_t extent : extents) {
    text += raw(extent);
  }
  return text + raw(type) + raw(offset);
}

TEST(GgufTest, DequantisesAsTheReferenceLibrary) {
  const auto file = gguf_file::open(formats + "blocks.gguf");
  const auto expected = safetensors_file::open(formats + "blocks_expected.safetensors");
  EXPECT_EQ(file.names().size(), 6U);
  for (const std::string& name : expected.names()) {
    const auto got = file.find(name);
    ASSERT_TRUE(got.has_value()) << name;
    EXPECT_EQ(got->shape, (std::vector<int64_t>{3, 64})) << name;
    EXPECT_EQ(got->type, file.shape_of(name).type) << name;
    EXPECT_EQ(to_float32(*got), to_float32(*expected.find(name))) << name;
  }
  EXPECT_EQ(file.find("F16")->type, dtype::f16);
  EXPECT_EQ(file.find("BF16")->type, dtype::bf16);
  EXPECT_FALSE(file.find("none").has_value());
}

TEST(GgufTest, ReadsEveryTypeOfMetadata) {
  const auto file = gguf_file::open(formats + "blocks.gguf");
  EXPECT_EQ(file.require<int64_t>("test.u8"), 200);
  EXPECT_EQ(file.require<int64_t>("test.i8"), -3);
  EXPECT_EQ(file.require<int64_t>("test.u16"), 60000);
  EXPECT_EQ(file.require<int64_t>("test.i16"), -30000);
  EXPECT_EQ(file.require<int64_t>("test.u32"), 4000000000);
  EXPECT_EQ(file.require<int64_t>("test.i32"), -2000000000);
  EXPECT_EQ(file.require<int64_t>("test.u64"), int64_t{1} << 62);
  EXPECT_EQ(file.require<int64_t>("test.i64"), -(int64_t{1} << 62));
  EXPECT_EQ(file.require<double>("test.f32"), 0.5);
  EXPECT_EQ(file.require<double>("test.f64"), 1e-300);
  EXPECT_TRUE(file.require<bool>("test.bool"));
  EXPECT_EQ(file.require<std::string>("test.text"), "naïve");
  EXPECT_EQ(file.require<std::vector<int64_t>>("test.integers"), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(file.require<std::vector<double>>("test.reals"), (std::vector<double>{0.5, 0.25}));
  EXPECT_EQ(file.require<std::vector<std::string>>("test.texts"), (std::vector<std::string>{"a", "", "bc"}));
  EXPECT_EQ(file.get<int64_t>("test.none", 5), 5);
  expect_error(errc::not_found, "no test.none", [&] { file.require<bool>("test.none"); });
  expect_error(errc::bad_file, "test.u8 has an unexpected type", [&] { file.require<bool>("test.u8"); });
}

TEST(GgufTest, RefusesWhatItCannotRead) {
  expect_error(errc::bad_file, "no GGUF file", [] { parse(test::to_bytes("GGML")); });
  expect_error(errc::unsupported, "version 1", [] { parse(compose(0, 0, "", 1)); });
  expect_error(errc::unsupported, "big-endian", [] { parse(compose(0, 0, "", 3U << 24)); });
  EXPECT_TRUE(parse(compose(0, 0, "", 2)).names().empty());
  expect_error(errc::unsupported, "tensor a has the type 12 (Q4_K)",
               [] { parse(compose(1, 0, description("a", {256}, 12, 0))); });
  expect_error(errc::unsupported, "type 99 (unknown)", [] { parse(compose(1, 0, description("a", {256}, 99, 0))); });
  expect_error(errc::bad_file, "has 5 dimensions", [] {
    parse(compose(1, 0, description("a", {1, 1, 1, 1, 1}, 0, 0)));
  });
  expect_error(errc::bad_file, "cannot have the dimensions [33]",
               [] { parse(compose(1, 0, description("a", {33}, 8, 0))); });
  expect_error(errc::bad_file, "cannot have", [] {
    parse(compose(1, 0, description("a", {1ULL << 40, 1ULL << 40}, 0, 0)));
  });
  expect_error(errc::bad_file, "cannot have", [] { parse(compose(1, 0, description("a", {0, 1ULL << 40}, 0, 0))); });
  expect_error(errc::bad_file, "truncated", [] { parse(compose(1, 0, description("a", {8}, 0, 0))); });
  expect_error(errc::bad_file, "truncated",
               [] { parse(compose(1, 0, description("a", {8}, 0, 32) + std::string(64, 'x'))); });
  expect_error(errc::bad_file, "truncated",
               [] { parse(compose(1, 0, description("a", {8}, 0, 4) + std::string(256, 'x'))); });
  const std::string two = description("a", {16}, 0, 0) + description("b", {16}, 0, 32);
  expect_error(errc::bad_file, "a and b overlap", [&] { parse(compose(2, 0, two + std::string(256, 'x'))); });
  const std::string same = description("a", {8}, 0, 0) + description("a", {8}, 0, 32);
  expect_error(errc::bad_file, "a occurs twice", [&] { parse(compose(2, 0, same + std::string(256, 'x'))); });
}

TEST(GgufTest, RefusesHostileMetadata) {
  const std::string huge = raw<uint64_t>(uint64_t{1} << 60);
  const std::string key = counted("k");
  expect_error(errc::bad_file, "metadata key of", [&] { parse(compose(0, 1, huge)); });
  expect_error(errc::bad_file, "a text of", [&] { parse(compose(0, 1, key + raw(8U) + huge)); });
  expect_error(errc::bad_file, "truncated", [&] { parse(compose(0, 1, key + raw(9U) + raw(0U) + huge)); });
  expect_error(errc::bad_file, "truncated", [&] { parse(compose(0, 1, key + raw(9U) + raw(8U) + huge)); });
  expect_error(errc::unsupported, "has the type 9",
               [&] { parse(compose(0, 1, key + raw(9U) + raw(9U) + raw<uint64_t>(1))); });
  expect_error(errc::unsupported, "has the type 13", [&] { parse(compose(0, 1, key + raw(13U))); });
  expect_error(errc::bad_file, "beyond int64", [&] { parse(compose(0, 1, key + raw(10U) + raw(~uint64_t{0}))); });
  const std::string one = key + raw(0U) + "\1";
  expect_error(errc::bad_file, "k occurs twice", [&] { parse(compose(0, 2, one + one)); });
  const std::string alignment = counted("general.alignment") + raw(4U);
  expect_error(errc::bad_file, "general.alignment is 0", [&] { parse(compose(0, 1, alignment + raw(0U))); });
  expect_error(errc::bad_file, "general.alignment is 48", [&] { parse(compose(0, 1, alignment + raw(48U))); });
  expect_error(errc::bad_file, "needed at byte", [&] { parse(compose(~uint64_t{0}, 0, "")); });
  expect_error(errc::bad_file, "needed at byte", [&] { parse(compose(0, ~uint64_t{0}, "")); });
}

TEST(GgufTest, SurvivesDamage) {
  auto bytes = test::read_bytes(formats + "blocks.gguf");
  bytes.resize(bytes.size() - 8);  // the padding after the last tensor, which nobody needs
  const test::parser parse_and_use = [](std::span<const std::byte> b) {
    const auto file = gguf_file::parse(b, nullptr, "f");
    for (const std::string& name : file.names()) {
      to_float32(*file.find(name));
    }
  };
  test::expect_every_truncation_refused(bytes, parse_and_use);
  EXPECT_GT(test::flip_every_byte(bytes, parse_and_use), bytes.size() / 2);
}

}  // namespace
}  // namespace troupe::io
