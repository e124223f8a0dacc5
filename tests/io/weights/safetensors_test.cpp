#include "io/files/atomic_file.hpp"
#include "io/files/mapped_file.hpp"
#include "io/weights/safetensors.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace troupe::io {
namespace {

using test::byte_vector;
using test::expect_error;
using test::temporary_folder;

const std::string formats = test_data() + "/formats/";

/// A file of this header and so many bytes of data.
byte_vector compose(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string text(reinterpret_cast<const char*>(&length), 8);
  return test::to_bytes(text + header + std::string(data_bytes, '\1'));
}

safetensors_file parse(const byte_vector& bytes) { return safetensors_file::parse(bytes, nullptr, "f"); }

void rewrite(const safetensors_file& file, const std::filesystem::path& target, bool backwards) {
  std::vector<tensor_shape> shapes;
  for (const std::string& name : file.names()) {
    const host_array array = *file.find(name);
    shapes.push_back({array.name, array.type, array.shape});
  }
  std::vector<std::string> order = file.names();
  if (backwards) {
    std::reverse(order.begin(), order.end());
    std::reverse(shapes.begin(), shapes.end());
  }
  safetensors_writer writer(target, shapes, file.metadata());
  for (const std::string& name : order) {
    writer.write(*file.find(name));
  }
  writer.commit();
}

TEST(SafetensorsTest, ReadsEveryTypeOfTheReferenceLibrary) {
  const auto file = safetensors_file::open(formats + "mixed.safetensors");
  EXPECT_EQ(file.names().size(), 15U);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  const host_array scalar = *file.find("a scalar");
  EXPECT_TRUE(scalar.shape.empty());
  EXPECT_EQ(to_float32(scalar), std::vector<float>{2.5F});
  EXPECT_EQ(file.find("empty")->shape, (std::vector<int64_t>{0, 4}));
  EXPECT_EQ(to_float32(*file.find("naïve \"quoted\" \\ name")), (std::vector<float>{0, 1, 2, 3, 4}));
  EXPECT_EQ(file.find("tensor.bool")->type, dtype::boolean);
  EXPECT_EQ(file.find("tensor.uint64")->type, dtype::u64);
  EXPECT_EQ(file.find("tensor.uint64")->shape, (std::vector<int64_t>{3, 3}));
  EXPECT_FALSE(file.find("tensor").has_value());
}

TEST(SafetensorsTest, WritesTheReferenceLibrarysBytesInWhateverOrderTensorsCome) {
  const temporary_folder folder;
  for (const char* name :
       {"/formats/mixed.safetensors", "/formats/llama_expected.safetensors", "/tiny/opt/model.safetensors"}) {
    const std::string path = test_data() + std::string(name);
    const auto file = safetensors_file::open(path);
    for (const bool backwards : {false, true}) {
      rewrite(file, folder / "out", backwards);
      EXPECT_EQ(test::read_bytes(folder / "out"), test::read_bytes(path)) << path;
    }
  }
}

TEST(SafetensorsTest, ArraysOutliveTheFileObject) {
  host_array array;
  { array = *safetensors_file::open(formats + "mixed.safetensors").find("a scalar"); }
  EXPECT_EQ(to_float32(array), std::vector<float>{2.5F});
}

TEST(SafetensorsTest, RefusesMalformedHeaders) {
  const auto refuse = [](const std::string& header, size_t data, const char* part, errc code = errc::bad_file) {
    expect_error(code, part, [&] { parse(compose(header, data)); });
  };
  refuse(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "tensor a has 4 bytes, its shape needs 8");
  refuse(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 3, "truncated");
  refuse(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 5,
         "the tensors end at byte 4 of the data, which has 5");
  refuse(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "a gap");
  refuse(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
         6, "overlap");
  refuse(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}})", 4, "ascending");
  refuse(R"({"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}})", 4, "unsigned");
  refuse(R"({"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,4]}})", 4, "unsigned");
  refuse(R"({"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,4]}})", 4, "beyond int64");
  refuse(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", 0,
         "beyond what can be addressed");
  refuse(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4,0],"data_offsets":[0,0]}})", 0, "beyond what can be");
  refuse(R"({"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}})", 4, "type F8_E4M3", errc::unsupported);
  refuse(R"({"a":{"shape":[4],"data_offsets":[0,4]}})", 4, "needs exactly");
  refuse(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
         4, "\"a\" occurs twice");
  refuse(R"({"__metadata__":{"a":1}})", 0, "__metadata__ a is no text");
  refuse("[]", 0, "not a safetensors file");
  refuse("", 0, "not a safetensors file");
  refuse("{", 0, "malformed JSON");
}

TEST(SafetensorsTest, RefusesHeaderLengthsBeyondTheFileOrTheLimit) {
  byte_vector bytes = compose("{}", 0);
  EXPECT_TRUE(parse(bytes).names().empty());
  bytes[0] = std::byte{3};
  expect_error(errc::bad_file, "a header of 3 bytes", [&] { parse(bytes); });
  for (size_t i = 0; i < 8; ++i) {
    bytes[i] = std::byte{0xFF};
  }
  expect_error(errc::bad_file, "a header of 18446744073709551615 bytes", [&] { parse(bytes); });
}

TEST(SafetensorsTest, SurvivesDamage) {
  const auto bytes = test::read_bytes(formats + "mixed.safetensors");
  const test::parser parse_and_use = [](std::span<const std::byte> b) {
    const auto file = safetensors_file::parse(b, nullptr, "f");
    for (const std::string& name : file.names()) {
      const host_array array = *file.find(name);
      if (array.type == dtype::f32) {
        to_float32(array);
      }
    }
  };
  test::expect_every_truncation_refused(bytes, parse_and_use);
  EXPECT_GT(test::flip_every_byte(bytes, parse_and_use), bytes.size());
}

TEST(SafetensorsWriterTest, RefusesWhatWasNotAnnounced) {
  const temporary_folder folder;
  safetensors_writer writer(folder / "f", {{"a", dtype::f32, {2}}, {"b", dtype::f32, {1}}});
  expect_error(errc::bad_argument, "tensor c is not in the list",
               [&] { writer.write(make_host_array("c", {1}, {1})); });
  expect_error(errc::shape_mismatch, "tensor a is f32 [1]", [&] { writer.write(make_host_array("a", {1}, {1})); });
  writer.write(make_host_array("a", {2}, {1, 2}));
  expect_error(errc::bad_argument, "tensor a comes twice", [&] { writer.write(make_host_array("a", {2}, {1, 2})); });
  expect_error(errc::bad_argument, "tensor b was announced but never written", [&] { writer.commit(); });
  EXPECT_FALSE(std::filesystem::exists(folder / "f"));
  expect_error(errc::bad_argument, "two tensors are named a", [&] {
    safetensors_writer twice(folder / "g", {{"a", dtype::f32, {2}}, {"a", dtype::f32, {2}}});
  });
  expect_error(errc::bad_file, "not UTF-8", [&] { safetensors_writer bad(folder / "g", {{"\xFF", dtype::f32, {2}}}); });
  expect_error(errc::bad_file, "beyond what can be addressed", [&] {
    safetensors_writer large(folder / "g", {{"a", dtype::f32, {int64_t{1} << 62, 4}}});
  });
}

}  // namespace
}  // namespace troupe::io
