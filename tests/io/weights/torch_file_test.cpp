#include "io/weights/safetensors.hpp"
#include "io/weights/torch_file.hpp"
#include "support/damage.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace troupe::io {
namespace {

using test::byte_vector;
using test::expect_error;

const std::string formats = test_data() + "/formats/";

torch_file parse(const byte_vector& bytes) { return torch_file::parse(bytes, nullptr, "f"); }

/// Overwrites the first occurrence of `from` after `start`.
void replace(byte_vector& bytes, std::string_view from, std::string_view to, size_t start = 0) {
  ASSERT_EQ(from.size(), to.size());
  const byte_vector pattern = test::to_bytes(from);
  const auto at =
      std::search(bytes.begin() + static_cast<std::ptrdiff_t>(start), bytes.end(), pattern.begin(), pattern.end());
  ASSERT_NE(at, bytes.end());
  std::memcpy(&*at, to.data(), to.size());
}

TEST(TorchFileTest, ReadsEveryProtocolAndLayout) {
  const auto expected = safetensors_file::open(formats + "torch_expected.safetensors");
  for (const char* name : {"torch_p2.bin", "torch_p3.bin", "torch_p4.bin", "torch_p5.bin"}) {
    const auto file = torch_file::open(formats + name);
    EXPECT_EQ(file.names().size(), expected.names().size());
    EXPECT_EQ(file.names()[0], "contiguous");
    for (const std::string& tensor : expected.names()) {
      const auto got = file.find(tensor);
      ASSERT_TRUE(got.has_value()) << name << " " << tensor;
      const host_array want = *expected.find(tensor);
      EXPECT_EQ(got->type, want.type) << tensor;
      EXPECT_EQ(got->shape, want.shape) << tensor;
      EXPECT_TRUE(std::ranges::equal(got->bytes, want.bytes)) << name << " " << tensor;
    }
  }
}

TEST(TorchFileTest, ReadsAFileOfTorchItself) {
  const auto file = torch_file::open(test_data() + "/tiny/gpt2/pytorch_model.bin");
  EXPECT_EQ(file.names().size(), 30U);
  const host_array embedding = *file.find("wte.weight");
  EXPECT_EQ(embedding.type, dtype::f32);
  EXPECT_EQ(embedding.shape, (std::vector<int64_t>{512, 64}));
  EXPECT_EQ(file.find("h.0.attn.bias")->type, dtype::u8);
  EXPECT_FALSE(file.find("none").has_value());
}

TEST(TorchFileTest, VerifiesChecksums) {
  byte_vector bytes = test::read_bytes(formats + "torch_p2.bin");
  const auto file = parse(bytes);
  const host_array half = *file.find("half");
  const_cast<std::byte&>(half.bytes[0]) ^= std::byte{1};  // points into `bytes`
  expect_error(errc::bad_file, "checksum of archive/data/1", [&] { parse(bytes).find("half"); });
  EXPECT_TRUE(parse(bytes).find("contiguous").has_value());
  byte_vector pickle_damaged = test::read_bytes(formats + "torch_p2.bin");
  replace(pickle_damaged, "contiguous", "Contiguous");
  expect_error(errc::bad_file, "checksum of archive/data.pkl", [&] { parse(pickle_damaged); });
}

TEST(TorchFileTest, RefusesTheOldFormatWithARemedy) {
  const auto bytes = test::to_bytes(std::string_view("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15));
  expect_error(errc::unsupported, "torch.save before version 1.6. Rewrite it", [&] { parse(bytes); });
  expect_error(errc::bad_file, "not a zip archive", [] { parse(test::to_bytes("neither")); });
}

TEST(TorchFileTest, RefusesOtherArchives) {
  const byte_vector bytes = test::read_bytes(formats + "torch_p2.bin");
  byte_vector big = bytes;
  replace(big, "little", "bigend");
  expect_error(errc::unsupported, "little-endian", [&] { parse(big); });
  byte_vector renamed = bytes;
  replace(renamed, "archive/data.pkl", "archive/data.xxx");
  expect_error(errc::bad_file, "is not the archive/data.pkl", [&] { parse(renamed); });
  replace(renamed, "archive/data.pkl", "archive/data.xxx");
  expect_error(errc::bad_file, "no data.pkl", [&] { parse(renamed); });
  byte_vector missing = bytes;
  replace(missing, "archive/data/2", "archive/data/9");
  replace(missing, "archive/data/2", "archive/data/9");
  expect_error(errc::bad_file, "the storage archive/data/2 of tensor long is missing", [&] { parse(missing); });
}

TEST(TorchFileTest, SurvivesDamage) {
  const test::parser parse_and_use = [](std::span<const std::byte> b) {
    const auto file = torch_file::parse(b, nullptr, "f");
    for (const std::string& name : file.names()) {
      file.find(name);
    }
  };
  for (const char* name : {"torch_p2.bin", "torch_p5.bin"}) {
    const auto bytes = test::read_bytes(formats + name);
    test::expect_every_truncation_refused(bytes, parse_and_use);
    EXPECT_GT(test::flip_every_byte(bytes, parse_and_use), bytes.size());
  }
}

}  // namespace
}  // namespace troupe::io
