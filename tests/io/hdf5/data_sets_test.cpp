#include "io/hdf5/hdf5.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <span>
#include <vector>

namespace troupe::io {
namespace {

using test::expect_error;

std::vector<float> counting(size_t n) {
  std::vector<float> values(n);
  std::iota(values.begin(), values.end(), 0.0F);
  return values;
}

template <class T> void expect_same_back(const std::filesystem::path& path, const std::vector<T>& values) {
  {
    hdf5_file file = hdf5_file::create(path);
    file.write<T>("x", {static_cast<int64_t>(values.size())}, values);
    file.close();
  }
  const hdf5_file file = hdf5_file::open(path);
  EXPECT_EQ(file.read<T>("x"), values);
  EXPECT_EQ(file.shape("x").type, hdf5_detail::dtype_of<T>::value);
  EXPECT_EQ(file.shape("x").shape, (std::vector<int64_t>{static_cast<int64_t>(values.size())}));
}

TEST(Hdf5DataSetsTest, EveryTypeComesBackAsItWas) {
  const test::temporary_folder folder;
  const auto path = folder / "a.h5";
  expect_same_back<float>(path, {1.5F, -0.0F, std::numeric_limits<float>::infinity()});
  expect_same_back<double>(path, {1e300, 5e-324});
  expect_same_back<int64_t>(path, {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()});
  expect_same_back<int32_t>(path, {std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()});
  expect_same_back<uint64_t>(path, {0, std::numeric_limits<uint64_t>::max()});
  expect_same_back<uint32_t>(path, {0, std::numeric_limits<uint32_t>::max()});
  expect_same_back<uint16_t>(path, {0, std::numeric_limits<uint16_t>::max()});
  expect_same_back<uint8_t>(path, {0, 255});
  expect_same_back<float>(path, {});
}

TEST(Hdf5DataSetsTest, HoldNoSixteenBitFloats) {
  const test::temporary_folder folder;
  hdf5_file file = hdf5_file::create(folder / "a.h5");
  const std::vector<std::byte> bytes(4);
  expect_error(errc::unsupported, "hold no bf16 here", [&] { file.write("x", dtype::bf16, {2}, bytes); });
}

TEST(Hdf5DataSetsTest, PiecesOfTheFlattenedArrayAreWrittenAndReadAnywhere) {
  const test::temporary_folder folder;
  const std::vector<float> values = counting(24);
  const auto bytes = std::as_bytes(std::span(values));
  {
    hdf5_file file = hdf5_file::create(folder / "a.h5");
    file.create("x", dtype::f32, {2, 3, 4});
    file.write_range("x", dtype::f32, 13, bytes.subspan(13 * 4));
    file.write_range("x", dtype::f32, 0, bytes.first(5 * 4));
    file.write_range("x", dtype::f32, 5, bytes.subspan(5 * 4, 8 * 4));
    file.close();
  }
  const hdf5_file file = hdf5_file::open(folder / "a.h5");
  EXPECT_EQ(file.shape("x").shape, (std::vector<int64_t>{2, 3, 4}));
  EXPECT_EQ(file.read<float>("x"), values);
  std::vector<float> part(11);
  file.read_range("x", dtype::f32, 7, std::as_writable_bytes(std::span(part)));
  EXPECT_EQ(part, std::vector<float>(values.begin() + 7, values.begin() + 18));
}

TEST(Hdf5DataSetsTest, RefuseSizesAndTypesThatDisagree) {
  const test::temporary_folder folder;
  hdf5_file file = hdf5_file::create(folder / "a.h5");
  const std::vector<float> values = counting(6);
  const auto bytes = std::as_bytes(std::span(values));
  file.write<float>("x", {2, 3}, values);
  file.write_text("text", "abc");
  std::vector<std::byte> space(24);
  const auto refuse = [](std::string_view part, const std::function<void()>& action) {
    expect_error(errc::shape_mismatch, part, action);
  };
  refuse("has 7 elements of f32, the buffer 24 bytes", [&] { file.write<float>("y", {7}, values); });
  refuse("impossible extent -1", [&] { file.write<float>("y", {-1}, values); });
  refuse("impossible extent", [&] { file.create("y", dtype::f32, {int64_t{1} << 40, int64_t{1} << 40}); });
  refuse("is f32, not f64", [&] { file.read<double>("x"); });
  refuse("is text, not f32", [&] { file.read<float>("text"); });
  refuse("has 6 elements of f32, the buffer 20 bytes", [&] { file.read("x", dtype::f32, std::span(space).first(20)); });
  refuse("has 6 elements: [1, 7) is not inside", [&] { file.write_range("x", dtype::f32, 1, bytes); });
  refuse("[-1, 5) is not inside", [&] { file.read_range("x", dtype::f32, -1, space); });
  refuse("the buffer 3 bytes", [&] { file.write_range("x", dtype::f32, 0, bytes.first(3)); });
  expect_error(errc::not_found, "has no data set 'y'", [&] { file.read<float>("y"); });
  expect_error(errc::io_failure, "cannot write 'x'", [&] { file.write<float>("x", {2, 3}, values); });
  EXPECT_EQ(file.read<float>("x"), values);
}

TEST(Hdf5DataSetsTest, AVirtualOneShowsTheValuesOfOtherFiles) {
  const test::temporary_folder folder;
  const std::vector<float> values = counting(6);
  const auto write = [&](const char* name, const std::vector<int64_t>& shape, std::span<const float> part) {
    hdf5_file file = hdf5_file::create(folder / name);
    file.write<float>("w", shape, part);
    file.close();
  };
  write("first.h5", {4}, std::span(values).first(4));
  write("second.h5", {1, 2}, std::span(values).subspan(4));
  {
    hdf5_file file = hdf5_file::create(folder / "whole.h5");
    const std::vector<hdf5_virtual_piece> pieces{{"first.h5", "/w", {4}, {0, 0}, {2, 2}, 0},
                                                 {"second.h5", "/w", {1, 2}, {2, 0}, {1, 2}, 0}};
    file.write_virtual("w", {3, 2}, pieces);
    file.close();
  }
  EXPECT_EQ(hdf5_file::open(folder / "whole.h5").read<float>("w"), values);
}

}  // namespace
}  // namespace troupe::io
